from local_stack.screen import Screen, Watched, parse_table

TABLE = """\
NAME    READY   PHASE         TYPE        ZONE       IP    COST/H   MESSAGE                    AGE
llama   0/2     Progressing   L4-1-24G    fr-par-2         0.7875   waiting for two  servers   3s
other           Pending
"""


def test_cells_may_hold_spaces_or_nothing() -> None:
    llama, other = parse_table(TABLE)
    assert llama["IP"] == ""
    assert llama["MESSAGE"] == "waiting for two  servers"
    assert other["PHASE"] == "Pending"
    assert other["READY"] == ""
    assert other["AGE"] == ""


def test_no_objects_are_no_rows() -> None:
    assert parse_table("") == []


def test_a_row_is_shown_when_it_changed_and_not_because_it_grew_older() -> None:
    lines: list[str] = []
    watched = Watched(Screen(write=lines.append))
    row = {"NAME": "llama", "READY": "0/1", "AGE": "1s"}
    watched.show([row])
    watched.show([row | {"AGE": "2s"}])
    watched.show([row | {"READY": "1/1"}])
    assert [line.split() for line in lines] == [["NAME", "READY"], ["llama", "0/1"], ["llama", "1/1"]]


def test_the_header_comes_again_when_a_column_grew() -> None:
    lines: list[str] = []
    watched = Watched(Screen(write=lines.append))
    row = {"NAME": "llama", "IP": "", "MESSAGE": "waits for an address"}
    watched.show([row])
    watched.show([row | {"IP": "127.64.0.1", "MESSAGE": "runs"}])
    assert [line.split() for line in lines] == [
        ["NAME", "IP", "MESSAGE"],
        ["llama", "waits", "for", "an", "address"],
        ["NAME", "IP", "MESSAGE"],
        ["llama", "127.64.0.1", "runs"],
    ]
