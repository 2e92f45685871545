"""What is written about things that were given up, however many they are."""

from uuid import uuid4

from domain.things import leaving_credential
from inventiv_operator.controllers.credential.report import abandonment_events
from inventiv_operator.store.abandon import Abandoned

ROW = leaving_credential()


def server() -> Abandoned:
    return Abandoned(
        kind="server",
        zone="fr-par-2",
        ref=str(uuid4()),
        role="server",
        deployment="llama",
        deployment_id=str(uuid4()),
        instance_id=str(uuid4()),
        resource_id=str(uuid4()),
        may_exist=True,
        state_before="present",
    )


def test_every_id_is_in_an_event_and_none_is_cut() -> None:
    things = [server() for _ in range(700)]
    notes = list(abandonment_events(ROW, things))
    assert all(len(note) <= 1024 for note in notes)
    assert len(set(notes)) == len(notes)
    assert [
        thing.ref for thing in things if not any(f"server {thing.ref} in" in note for note in notes)
    ] == []


def test_the_number_of_events_is_bounded() -> None:
    notes = list(abandonment_events(ROW, [server() for _ in range(5000)]))
    assert len(notes) == 100
    assert "(5000 in all, part 100 of " in notes[-1]
