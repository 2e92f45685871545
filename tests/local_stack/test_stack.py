"""The stack on real parts."""

from local_stack.stack import Stack


def test_the_api_server_answers_the_administrator(stack: Stack) -> None:
    assert "kube-system" in stack.kubectl("get", "namespaces", "--output=name").stdout
