"""robotrove push."""

from __future__ import annotations

from dataclasses import asdict

import click

from ...blocks.publish.hub_publisher import HubPublisher
from ...hub.push import Published
from ..display import Bar
from ..output import counted, echo, echo_json, size


@click.command()
@click.argument("dataset", type=click.Path())
@click.argument("repo_id", metavar="OWNER/NAME")
@click.option("--public", is_flag=True, help="Make a new repository public; private by default.")
@click.option("--branch", default="main", show_default=True, help="Branch of the repository to push to.")
@click.option("--license", help="Licence for the dataset card, by the Hub's name: apache-2.0, cc-by-4.0, …")
@click.option("--no-verify", is_flag=True, help="Push without checks; the dataset card says so.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def command(
    dataset: str, repo_id: str, public: bool, branch: str, license: str | None, no_verify: bool, as_json: bool
) -> None:
    """Push a dataset to the Hub.

    A new repository is private without --public. The token is that of HF_TOKEN or of `hf auth login`. Rerun the
    same command to resume.
    """
    publisher = HubPublisher(
        repo_id=repo_id, branch=branch, public=public, license=license, verify=not no_verify, dataset=dataset
    )
    with Bar("reading files") as bar:
        publisher.progress = lambda what, done, total: bar.show(
            done // 1_000_000, total // 1_000_000 or None, description=what
        )
        publisher.run_here()
    published = publisher.published
    assert published is not None  # otherwise it would have said why
    echo_json({"dataset": dataset, **asdict(published)}) if as_json else echo(_told(published))


def _told(published: Published) -> str:
    visible = "private" if published.private else "public"
    revision = published.tag or published.branch
    files = f"{counted(published.files, 'file')}, {size(published.size)}"
    changed = f"{counted(published.changed, 'file')} changed" if published.changed else "no changes"
    return "\n".join(
        [
            f"{published.url} ({visible}): {files}; {changed}",
            f"  {revision} is at commit {published.commit}, equal to the local dataset, file by file",
        ]
    )
