"""robotrove push."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ...blocks.dataset.verifier import check
from ...blocks.publish.hub_publisher import HubPublisher
from ...blocks.publish.osmo import FOLDER, OsmoAddress, recording_of, redacted
from ...core.errors import UsageError, printable
from ...formats.lerobot.datasets.open_dataset import check_is_dataset
from ...hub.push import Published
from ...hub.repository import MAIN
from ..display import Bar
from ..output import counted, echo, echo_json, size

_OSMO = "osmo:"


@click.command()
@click.argument("dataset", type=click.Path())
@click.argument("target", metavar="OWNER/NAME|osmo:NAME")
@click.option("--public", is_flag=True, help="Make a new repository public; private by default.")
@click.option("--branch", help="Branch of the repository to push to; main by default.")
@click.option(
    "--license", help="Licence for the dataset card: apache-2.0, cc-by-4.0, …; by default that of the card there."
)
@click.option("--replace", is_flag=True, help="Replace another dataset, or one of another version, on the branch.")
@click.option("--no-verify", is_flag=True, help="Push without checks; the dataset card says so.")
@click.option("--follow-links", is_flag=True, help="Also send files behind links that lead out of the dataset.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def command(
    dataset: str, target: str, public: bool, branch: str | None, license: str | None, replace: bool,
    no_verify: bool, follow_links: bool, as_json: bool,
) -> None:  # fmt: skip
    """Push a dataset to the Hub or to OSMO.

    A new repository is private without --public. The token is that of HF_TOKEN or of `hf auth login`. Rerun the
    same command to resume.

    osmo:[BUCKET/]NAME[:TAG] is a dataset of OSMO up to 6.3, osmo:URI a place in the storage of every OSMO, such as
    osmo:s3://BUCKET/PATH. The files are stored there as <recording>/lerobot/…
    """
    if target.startswith(_OSMO):
        given = {"--public": public, "--branch": branch, "--license": license}
        given |= {"--replace": replace, "--follow-links": follow_links}
        if options := [option for option, value in given.items() if value]:
            raise UsageError(
                "push to OSMO", f"takes no {', '.join(options)}", "options of the Hub with OWNER/NAME only"
            )
        address = OsmoAddress(target.removeprefix(_OSMO), "push to OSMO")
        uploaded = _to_osmo(Path(dataset), address, verify=not no_verify)
        echo_json(uploaded) if as_json else echo(printable("{address}: uploaded as {path}/…".format_map(uploaded)))
        return
    if "://" in target:
        shown = redacted(target)
        raise UsageError(shown, "is not a repository of the Hub", "OWNER/NAME", f"for OSMO's storage: osmo:{shown}")
    publisher = HubPublisher(
        repo_id=target,
        branch=branch or MAIN,
        public=public,
        license=license,
        replace=replace,
        verify=not no_verify,
        follow_links=follow_links,
        dataset=dataset,
    )
    with Bar("reading files") as bar:
        publisher.progress = lambda what, done, total: bar.show(
            done // 1_000_000, total // 1_000_000 or None, description=what
        )
        publisher.run_here()
    published = publisher.published
    assert published is not None  # otherwise it would have said why
    echo_json({"dataset": dataset, **asdict(published)}) if as_json else echo(_told(published))


def _to_osmo(root: Path, address: OsmoAddress, *, verify: bool) -> dict[str, str]:
    """Upload as `osmo_publisher` does; return what was uploaded, and the names that it has there."""
    check_is_dataset(root)
    address.check_known()
    with Bar("uploading") as bar:
        if verify:
            check(root, progress=lambda name, path: bar.show(description=f"checking {name}"))
        bar.show(description="uploading")
        address.upload(root)
    return {"dataset": str(root), "address": redacted(address.text), "path": f"{recording_of(root)}/{FOLDER}"}


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
