import stat
from dataclasses import asdict
from pathlib import Path

import pytest

from local_stack import state as states
from local_stack.errors import LocalStackError
from local_stack.processes import Process
from local_stack.state import Outside


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    state = states.new_state(outside=Outside(kubeconfig="/k"))
    state = state.with_process("etcd", Process(pid=7, start_mark="b/1"))
    states.save(tmp_path, state)
    assert states.load(tmp_path) == state
    assert stat.S_IMODE((tmp_path / states.FILE).stat().st_mode) == 0o600


def test_nothing_saved_is_no_stack(tmp_path: Path) -> None:
    assert states.load(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"layout": 99}', '{"layout": 1, "stack_id": "x"}'])
def test_a_file_that_cannot_be_read_is_one_line_without_its_content(tmp_path: Path, text: str) -> None:
    (tmp_path / states.FILE).write_text(text)
    with pytest.raises(LocalStackError, match="was not written by this version"):
        states.load(tmp_path)


def test_no_secret_is_printed() -> None:
    state = states.new_state(outside=Outside(database_url="postgresql://a:geheim@b/c"))
    for secret in ("geheim", *asdict(state.secrets).values()):
        assert secret not in repr(state)


def test_secrets_differ_from_stack_to_stack() -> None:
    first, second = (states.new_state(outside=Outside()) for _ in range(2))
    values = [
        *asdict(first.secrets).values(),
        *asdict(second.secrets).values(),
        first.stack_id,
        second.stack_id,
    ]
    assert len(set(values)) == len(values)
