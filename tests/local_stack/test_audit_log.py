from pathlib import Path

import yaml

from local_stack import audit_log


def test_the_api_server_writes_no_audit_log_unless_asked(tmp_path: Path) -> None:
    assert audit_log.argv(tmp_path / "policy", log=tmp_path / "log") == ()


def test_it_writes_who_the_operator_asked_for_what_and_no_body(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    audit_log.switch_on(policy)
    flags = audit_log.argv(policy, log=tmp_path / "log")
    assert {f"--audit-policy-file={policy}", f"--audit-log-path={tmp_path / 'log'}"} <= set(flags)
    ours, others = yaml.safe_load(policy.read_text())["rules"]
    assert ours == {"level": "Metadata", "users": ["system:serviceaccount:inventiv-system:inventiv-operator"]}
    assert others == {"level": "None"}
