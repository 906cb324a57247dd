"""The clean environment a connector starts with."""

from __future__ import annotations

import os
from collections.abc import Mapping

PASSED = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TERM",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "HTTPLIB2_CA_CERTS",
        "AWS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    }
)  # fmt: skip


def clean_environment(added: Mapping[str, str], *, prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    """Locale, time zone, paths, certificates and proxies of this process, and `added`; nothing else.

    Args:
        added: Overrides what is passed on.
        prefixes: Variables with these prefixes are passed on too.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name.startswith("LC_") or (prefixes and name.startswith(prefixes))
    }
    return {**kept, **added}
