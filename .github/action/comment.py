"""Leave the comment of `bench ab` on a pull request: replace the comment of an earlier run, or write a new one.

A pull request from a fork may not comment. That is a warning, because the step summary has the same text.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

AUTHOR = "github-actions[bot]"
"""Whose comments are replaced. Anybody could write a comment that begins with the marker."""
PER_PAGE = 100
SECONDS = 30


def main(file: Path) -> None:
    """Comment with the text of a file, whose first line is the marker."""
    if not file.is_file():
        print("::warning title=attnbench::no comment: nothing was compared")
        return
    text = file.read_text(encoding="utf-8")
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    issues = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    of_pull_request = f"{issues}/{int(event['pull_request']['number'])}/comments"
    try:
        earlier = _earlier(of_pull_request, text.splitlines()[0])
        if earlier is None:
            _ask("POST", of_pull_request, {"body": text})
        else:
            _ask("PATCH", f"{issues}/comments/{earlier}", {"body": text})
    except (HTTPError, URLError) as error:
        print(f"::warning title=attnbench::no comment: {error}; the workflow needs the permission pull-requests: write")


def _earlier(comments: str, marker: str) -> int | None:
    """Return the number of the earlier comment, or None."""
    page = 1
    while True:
        found = _ask("GET", f"{comments}?per_page={PER_PAGE}&page={page}")
        for each in found:
            # GitHub gives no user for a comment whose author is gone.
            author, body = (each["user"] or {}).get("login"), each["body"] or ""
            if author == AUTHOR and body.startswith(marker):
                return int(each["id"])
        if len(found) < PER_PAGE:
            return None
        page += 1


def _ask(method: str, url: str, content: Any = None) -> Any:
    """Send a request to GitHub and return the answer."""
    headers = {
        "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
        "Accept": "application/vnd.github+json",
        "Content-Type": "application/json",
    }
    data = None if content is None else json.dumps(content).encode()
    with urlopen(Request(url, data, headers, method=method), timeout=SECONDS) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
