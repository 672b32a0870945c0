"""`holdfast auth`: the tokens that commands use when they are given none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from holdfast_host.cli.addresses import checked_url
from holdfast_host.cli.host_options import open_client, whole_host_options
from holdfast_host.cli.operator_answers import OwnToken
from holdfast_host.cli.output import CommandFailedError, ask_hidden, json_option, print_json, say, tell
from holdfast_host.cli.tokens import changing_tokens, checked_token, kept_tokens, token_for, tokens_file
from holdfast_host.core.tokens import ANONYMOUS, BOOTSTRAP

_EXAMPLES: Final = """\b
Examples:
  holdfast auth set
  holdfast auth status
  holdfast auth forget
"""
_SET_EXAMPLES: Final = """\b
Examples:
  holdfast auth set --host https://actors.example.com
  pass show holdfast | holdfast auth set
"""
_STATUS_EXAMPLES: Final = """\b
Example:
  holdfast auth status
"""
_FORGET_EXAMPLES: Final = """\b
Example:
  holdfast auth forget --host https://actors.example.com
"""


@click.group("auth", epilog=_EXAMPLES)
def command() -> None:
    """Keep a token for each host, in a file of yours that nobody else may read.

    Every command uses it where neither --token-file nor HOLDFAST_TOKEN is given.
    """


@command.command("set", epilog=_SET_EXAMPLES)
@whole_host_options
@json_option
def set_token(host: str, token_file: Path | None, as_json: bool) -> None:
    """Keep a token for the host, once that has taken it.

    The token is asked for on a terminal and read from standard input otherwise, or from --token-file.
    """
    url = checked_url(host)
    kept_tokens()  # before it is sent: what cannot be kept need not be asked for
    text = _read_token() if token_file is None else token_for(url, token_file)[0]
    with open_client(url, None, token=text) as client:
        own = client.get("/v1/token", OwnToken)
    if own["id"] == ANONYMOUS:
        raise CommandFailedError(f"{url} asks for no token and has looked at none, so nothing is kept.")
    with changing_tokens() as kept:
        kept[url] = text or ""
    tell({**own, "host": url}, f"Kept for {url}: {_describe(own)}.", as_json)


@command.command("status", epilog=_STATUS_EXAMPLES)
@whole_host_options
@json_option
def show_status(host: str, token_file: Path | None, as_json: bool) -> None:
    """Show which token commands use for the host, and what it may; then the hosts that one is kept for."""
    url = checked_url(host)
    token, source = token_for(url, token_file)
    with open_client(url, None, token=token) as client:
        own = client.get("/v1/token", OwnToken)
    hosts = sorted(kept_tokens())
    if as_json:
        print_json({**own, "host": url, "source": source, "kept_for": hosts})
        return
    say(f"{url}: {_describe(own)}, from {source}.")
    for each in hosts:
        say(f"A token is kept for {each}.")


@command.command("forget", epilog=_FORGET_EXAMPLES)
@whole_host_options
@json_option
def forget_token(host: str, token_file: Path | None, as_json: bool) -> None:
    """Keep no token for the host any more. The host still takes it: `holdfast token revoke` ends that."""
    url = checked_url(host)
    with changing_tokens() as kept:
        if url not in kept:
            raise CommandFailedError(f"No token is kept for {url}: 'holdfast auth status' shows those that are.")
        del kept[url]
    tell({"host": url, "file": str(tokens_file())}, f"No token is kept for {url} any more.", as_json)


def _read_token() -> str:
    text = ask_hidden("Token") if sys.stdin.isatty() else sys.stdin.buffer.read().decode("utf-8", "replace")
    text = text.strip()
    if not text:
        raise CommandFailedError("There is no token on standard input: pipe it in, or use a terminal to be asked.")
    return checked_token(text, "Standard input")


def _describe(own: OwnToken) -> str:
    """What the token is that a request has shown, as a part of a sentence."""
    if own["id"] == ANONYMOUS:
        return "the host asks for no token"
    if own["id"] == BOOTSTRAP:
        return "the token that the host was started with, which may do everything"
    name = f" '{own['name']}'" if own["name"] else ""
    types = f" for {', '.join(own['types'])}" if own["types"] else ""
    end = f", until {own['expires_at']}" if own["expires_at"] else ""
    return f"the token {own['id']}{name}, scope {own['scope']}{types}{end}"
