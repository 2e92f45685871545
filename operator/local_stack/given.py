"""Which parts the caller brings along: read from the environment and the flags, once, by the command line."""

from collections.abc import Mapping
from pathlib import Path

from local_stack import state as states
from local_stack.errors import LocalStackError
from local_stack.state import Outside

KUBECONFIG = "KUBECONFIG"
DATABASE_URL = "DATABASE_URL"
SCALEWAY_API_URL = "INVENTIV_SCALEWAY_API_URL"


def outside_parts(environ: Mapping[str, str], *, kubeconfig: str = "", own_scaleway_url: str = "") -> Outside:
    """What is used instead of an own cluster, database and simulator; the flag wins over the variable.

    What a local stack itself gave out (`eval "$(inventiv-local env)"`) does not count.
    """
    scaleway_api_url = environ.get(SCALEWAY_API_URL, "").rstrip("/")
    return Outside(
        kubeconfig=_one_file(kubeconfig or environ.get(KUBECONFIG, "")),
        database_url=environ.get(DATABASE_URL, ""),
        scaleway_api_url="" if scaleway_api_url == own_scaleway_url else scaleway_api_url,
    )


def _one_file(text: str) -> str:
    if not text:
        return ""
    if ":" in text:
        raise LocalStackError(f"{KUBECONFIG} names several files; name the one to use with --kubeconfig")
    path = Path(text).absolute()
    if (path.parent / states.FILE).exists():
        return ""
    if not path.is_file():
        raise LocalStackError(f"{KUBECONFIG}={path} is not a file; correct or unset it")
    return str(path)
