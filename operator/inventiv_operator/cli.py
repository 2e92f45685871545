"""The command `inventiv-operator`. Heavy imports stay inside the command that needs them."""

import argparse
import asyncio
import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

PROGRAM = "inventiv-operator"
_EPILOG = (
    "Configuration: environment variables INVENTIV_* (a flag wins over its variable). URLs that may hold a"
    " password have no flag: arguments can be read by everybody on the machine."
)

_LEAKS = (
    "Compares what the ledger in INVENTIV_DATABASE_URL holds with what each organization's Scaleway project"
    " lists in every zone, and says what it costs per hour. Changes nothing, and runs beside an operator. The"
    " exit code is 1 when anything is lost, orphaned, suspect or could not be looked at."
)
_KEYRING_NEW = "Makes INVENTIV_KEYRING_FILE with one random key, mode 0600. Never overwrites a file."
_KEYRING_ADD = (
    "Adds a key to INVENTIV_KEYRING_FILE. Give the file to every replica before the key is promoted."
)
_KEYRING_PROMOTE = (
    "Makes KEY the primary of INVENTIV_KEYRING_FILE. Every replica has to have the key by then."
)
_KEYRING_REENCRYPT = (
    "Wraps the data keys of all organizations anew, under the primary of INVENTIV_KEYRING_FILE, in"
    " INVENTIV_DATABASE_URL. Operators go on meanwhile, and need to have the same file. May be stopped and"
    " started again at any time."
)
_KEYRING_REMOVE = (
    "Removes KEY from INVENTIV_KEYRING_FILE, unless it is the primary or anything in INVENTIV_DATABASE_URL is"
    " under it."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the package; never returns normally."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code. What people can mend ends in one line on standard error, without a traceback."""
    options = _parser().parse_args(arguments)
    from inventiv_operator.config import ConfigError
    from inventiv_operator.kube.access import AccessError
    from inventiv_operator.kube.errors import KubeError
    from inventiv_operator.store.errors import StoreError

    try:
        return int(options.command(options))
    except (ConfigError, AccessError, KubeError, StoreError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return 130


def fail(reason: str) -> int:
    print(f"{PROGRAM}: {' '.join(reason.split())}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Rents out Scaleway instances to many organizations, from Kubernetes objects.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser(
        "run",
        help="run the operator",
        description="Runs the operator until SIGTERM. Waits for PostgreSQL, the API server and Scaleway"
        " while they are"
        " away; /healthz, /readyz and /metrics are served meanwhile.",
        epilog=_EPILOG,
    )
    _setting(command, "--keyring-file", "FILE", "the encryption keyring", kind=Path)
    _setting(command, "--scaleway-api-url", "URL", "the Scaleway API, for the whole installation")
    _setting(command, "--http-port", "PORT", "port of /healthz, /readyz and /metrics", kind=int)
    _setting(command, "--log-format", "FORMAT", "json or text")
    _setting(command, "--log-level", "LEVEL", "debug, info, warning or error")
    command.set_defaults(command=_run)

    command = commands.add_parser(
        "migrate",
        help="bring the database schema up to this release",
        description="Applies migrations/ as the owner's role and grants the operator's role what it needs."
        " Safe to run"
        " twice, also at the same time.",
        epilog=_EPILOG,
    )
    command.add_argument(
        "--check", action="store_true", help="change nothing; exit code 1 unless the schema is this release's"
    )
    _setting(command, "--operator-role", "ROLE", "the role that the operator's login is a member of")
    command.set_defaults(command=_migrate)

    command = commands.add_parser(
        "bind",
        help="tie the database to this cluster",
        description="Ties the database to the cluster (by the uid of kube-system). An empty database is"
        " tied without a"
        " question; one that belongs to another cluster only after a yes, which also records the new uids"
        " of all"
        " claimed namespaces. No operator may be running on it meanwhile.",
        epilog=_EPILOG,
    )
    command.add_argument("--yes", action="store_true", help="answer the question")
    command.set_defaults(command=_bind)

    command = commands.add_parser(
        "leaks", help="compare the ledger with the provider", description=_LEAKS, epilog=_EPILOG
    )
    command.add_argument("--organization", metavar="NAME", help="look at this one only")
    command.add_argument(
        "--output", choices=("text", "json"), default="text", help="for people (the default) or for machines"
    )
    _setting(command, "--keyring-file", "FILE", "the encryption keyring", kind=Path)
    _setting(command, "--scaleway-api-url", "URL", "the Scaleway API, for the whole installation")
    _setting(command, "--prices-file", "FILE", "prices of storage and addresses", kind=Path)
    command.set_defaults(command=_leaks)

    _add_keyring(commands.add_parser("keyring", help="manage the encryption keyring", epilog=_EPILOG))
    return parser


def _add_keyring(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, what: str, description: str, run: Callable[[argparse.Namespace], int]) -> Any:
        made = actions.add_parser(name, help=what, description=description, epilog=_EPILOG)
        _setting(made, "--keyring-file", "FILE", "the keyring", kind=Path)
        made.set_defaults(command=run)
        return made

    action("new", "make a keyring file", _KEYRING_NEW, _keyring_new)
    add = action("add", "add a random key that protects nothing yet", _KEYRING_ADD, _keyring_add)
    add.add_argument("key_id", metavar="KEY", nargs="?", help="its id; without, the next number")
    promote = action(
        "promote", "make a key the one that wraps new data keys", _KEYRING_PROMOTE, _keyring_promote
    )
    reencrypt = action(
        "reencrypt", "bring the database under the primary key", _KEYRING_REENCRYPT, _keyring_reencrypt
    )
    reencrypt.add_argument(
        "--values",
        action="store_true",
        help="also replace every data key that was ever under another key, and encrypt its values anew",
    )
    remove = action("remove", "take a key out that nothing needs any more", _KEYRING_REMOVE, _keyring_remove)
    for one in (promote, remove):
        one.add_argument("key_id", metavar="KEY", help="the id of a key of the file")


def _setting(
    command: argparse.ArgumentParser, flag: str, metavar: str, what: str, *, kind: type[Any] = str
) -> None:
    name = flag.removeprefix("--").replace("-", "_")
    command.add_argument(
        flag,
        dest=f"setting_{name}",
        metavar=metavar,
        type=kind,
        help=f"{what} (INVENTIV_{name.upper()})",
    )


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    prefix = "setting_"
    return {
        name.removeprefix(prefix): value for name, value in vars(options).items() if name.startswith(prefix)
    }


def _run(options: argparse.Namespace) -> int:
    from inventiv_operator.config import given_without_effect, load_settings
    from inventiv_operator.runtime.logging import configure_logging

    settings = load_settings(overrides=_overrides(options))
    configure_logging(log_format=settings.log_format, level=settings.log_level)
    for variable in given_without_effect(settings):
        logger.warning("%s has no effect in this release", variable)
    from inventiv_operator.bootstrap import ENDINGS, run_operator

    try:
        asyncio.run(run_operator(settings))
    except ENDINGS as error:
        return fail(str(error))
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from inventiv_operator.config import MIGRATE_REQUIRES, load_settings
    from inventiv_operator.store import migrate

    settings = load_settings(required=MIGRATE_REQUIRES, overrides=_overrides(options))
    if options.check:
        migrate.check(settings.migration_database_url)
        print("the database schema is the one of this release")
        return 0
    done = migrate.migrate(settings.migration_database_url, operator_role=settings.operator_role)
    print(f"applied {', '.join(done.applied)}" if done.applied else "the database schema is up to date")
    return 0


def _bind(options: argparse.Namespace) -> int:
    from inventiv_operator.binding import bind_database
    from inventiv_operator.config import load_settings

    settings = load_settings(required=("DATABASE_URL",), overrides=_overrides(options))
    print(asyncio.run(bind_database(settings, confirm=(lambda _: True) if options.yes else _confirm)))
    return 0


def _leaks(options: argparse.Namespace) -> int:
    from inventiv_operator.config import load_settings
    from inventiv_operator.leaks import document, text
    from inventiv_operator.leaks.command import find_leaks

    settings = load_settings(overrides=_overrides(options))
    report = asyncio.run(find_leaks(settings, organization=options.organization))
    if options.output == "json":
        sys.stdout.write(document.render(report))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        sys.stdout.write(text.render(report, width=width))
    return 0 if report.is_clean else 1


def _confirm(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


def _keyring_new(options: argparse.Namespace) -> int:
    from inventiv_operator.config import load_settings
    from inventiv_operator.store.keyring import new_keyring_file

    settings = load_settings(required=("KEYRING_FILE",), overrides=_overrides(options))
    new_keyring_file(settings.keyring_file)
    print(
        f"made {settings.keyring_file}; keep a copy apart from the database: without it no stored key can"
        " be read"
    )
    return 0


def _keyring_add(options: argparse.Namespace) -> int:
    from inventiv_operator.config import load_settings
    from inventiv_operator.store.keyring_edit import add_key

    path = load_settings(required=("KEYRING_FILE",), overrides=_overrides(options)).keyring_file
    key_id = add_key(path, options.key_id)
    print(f"added key {key_id} to {path}; promote it when every replica has this file")
    return 0


def _keyring_promote(options: argparse.Namespace) -> int:
    from inventiv_operator.config import load_settings
    from inventiv_operator.store.keyring_edit import promote_key

    path = load_settings(required=("KEYRING_FILE",), overrides=_overrides(options)).keyring_file
    if promote_key(path, options.key_id):
        print(
            f"key {options.key_id} is the primary of {path} now; reencrypt when every replica has this file"
        )
    else:
        print(f"key {options.key_id} is the primary of {path} already")
    return 0


def _keyring_reencrypt(options: argparse.Namespace) -> int:
    from inventiv_operator import rekeying
    from inventiv_operator.config import load_settings

    settings = load_settings(required=("KEYRING_FILE", "DATABASE_URL"), overrides=_overrides(options))
    print(
        asyncio.run(
            rekeying.reencrypt(
                settings.database_url,
                settings.keyring_file,
                values=options.values,
                say=lambda line: print(line, flush=True),
            )
        )
    )
    return 0


def _keyring_remove(options: argparse.Namespace) -> int:
    from inventiv_operator import rekeying
    from inventiv_operator.config import load_settings

    settings = load_settings(required=("KEYRING_FILE", "DATABASE_URL"), overrides=_overrides(options))
    asyncio.run(rekeying.remove(settings.database_url, settings.keyring_file, options.key_id))
    print(
        f"removed key {options.key_id} from {settings.keyring_file}; backups of the database from before need"
        " it: keep a copy of the earlier file as long as them"
    )
    return 0
