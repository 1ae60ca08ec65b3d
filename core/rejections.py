"""Rejections: every reason for which robotrove itself rejects an episode, with what it means and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason to reject an episode.

    Attributes:
        name: Name under which rejections are counted.
        kind: "filter" if a step or an option chose so, "damage" if the data cannot be used.
        sentence: Meaning, for people; the detail of a rejection says more about its episode.
        remedy: Action that gets the episode into the dataset.
    """

    name: str
    kind: Literal["filter", "damage"]
    sentence: str
    remedy: str


_FILTERS = {
    "not_successful": ("the success label says failure", "success_filter: {policy: label} keeps failures"),
    "successful": ("the success label says success", "success_filter: {policy: label} keeps both"),
    "no_success_label": ("no label says success or failure", "success_filter: {missing: success} keeps it"),
    "too_short": ("fewer frames than min_length", "lower min_length of length_filter"),
    "too_long": ("more frames than max_length", "raise max_length of length_filter"),
    "dropped_by_step": (
        "a filter of datatrove dropped it, without a reason",
        "change the filter, or its place among the steps",
    ),
    "too_long_for_v21": ("too long for version 2.1", "downgrader: {allow_long: true} keeps it"),
    "not_selected": (
        "not among the selected episodes",
        "change episode_selector, or drop and keep of the edit",
    ),
    "already_in_dataset": ("the dataset has this episode", "nothing: it is in the dataset"),
}

_DAMAGE = {
    "missing_file": ("a file is missing", "restore the file that the detail names, or fix source.files"),
    "empty_file": ("the file has no bytes", "copy the recording again"),
    "not_hdf5": ("the file is not HDF5", "remove it from source.files"),
    "truncated_file": ("the file ends early", "copy the recording again"),
    "unreadable_file": ("the file cannot be opened", "check permissions and disk"),
    "being_written": ("a recorder has the file open", "end the recording"),
    "no_episodes": ("the file has no episodes of this layout", "robotrove init FILE guesses the layout"),
    "outside_file": (
        "data are in a file outside of the recording's folder",
        "source.follow: [FOLDER] allows that folder, or copy the file beside the recording",
    ),
    "missing_dataset": ("a dataset that is mapped or linked is missing", "fix source.columns; robotrove inspect FILE"),
    "missing_rows": (
        "rows of a dataset are not stored",
        "copy missing files, or cut the rows with rows: under source.columns",
    ),
    "missing_filter": ("HDF5 lacks the filter of a dataset", "pip install hdf5plugin"),
    "missing_column": ("a column that a block names is missing", "fix the block's arguments"),
    "unequal_lengths": (
        "datasets have different numbers of rows",
        "cut one with rows: under source.columns, or map datasets of one length",
    ),
    "unclear_pairing": (
        "observations may be from before or after actions",
        "set observation: before or after under source.options",
    ),
    "empty_episode": ("the episode has no rows", "record it again"),
    "nothing_left": ("a step dropped every frame", "let the step keep a frame (frame_trimmer: lower head and tail)"),
    "non_finite": ("a value is NaN or infinite", "fix the recording; the detail names row and entry"),
    "bad_image": ("a picture cannot be decoded", "fix the recording; the detail names the row"),
    "image_size_changed": ("pictures of one camera differ in size", "record with one size"),
    "image_dtype": (
        "depth, a mask, or not uint8",
        "remove it from source.columns, convert it to uint8, or set assume: if it is a picture",
    ),
    "odd_image_size": ("the codec needs even sizes", "image_resizer: {pad: even}"),
    "no_frames": ("a camera has no frames", "remove the camera from source.columns"),
    "not_encodable": ("the encoder refuses the frames", "choose other writer.video settings"),
    "wrong_joint_count": ("a vector has another width than its names", "fix source_names or columns of the block"),
    "unknown_joint": ("a joint that the block names is missing", "fix the names; the detail lists them"),
    "not_a_vector": ("the column is not a vector", "name vectors under columns of the block"),
    "not_floating": ("the column is not floating point", "convert only columns of floating point"),
    "wrong_shape": ("rows have another shape than the feature", "fix the block that changes them"),
    "duplicate_episode": (
        "the same episode is listed before",
        "remove one of the files; for datasets, on_duplicate: keep takes both",
    ),
    "feature_mismatch": ("features differ from the dataset's", "convert such recordings to a dataset of their own"),
    "fps_mismatch": ("the frame rate differs from the dataset's", "convert such recordings to a dataset of their own"),
    "bad_feature_name": ("a name cannot be a feature", "name the column under source.columns"),
    "bad_fps": ("the frame rate of the file is not usable", "set source.fps"),
    "bad_slice": ("slice or rows do not fit the dataset", "fix them under source.columns"),
    "bad_dtype": ("the dtype cannot be stored", "fix dtype or kind under source.columns"),
    "bad_shape": ("the shape cannot be stored", "fix kind under source.columns"),
    "bad_names": ("names do not fit the width", "fix names under source.columns"),
    "bad_name": ("a file or key is not UTF-8", "rename it"),
    "bad_text": ("a text of the file is not UTF-8, or no text", "set source.task, or write it as UTF-8"),
    "out_of_range": ("a number does not fit the stored dtype", "fix the recording"),
    "bad_fill": ("fill does not fit the column", "fix fill of joint_remapper"),
    "duplicate_column": ("a block adds a column that exists", "rename or remove one of them"),
    "step_failed": (
        "a step raised an error",
        "fix the block that the detail names, then --accept-code --retry-rejected, or --fresh if planning failed at it",
    ),
    "too_large": (
        "it needs or declares too much memory",
        "use a machine with more memory, or map fewer columns",
    ),
    "source_changed": ("the file changed during the run", "leave recordings alone while a run reads them"),
    "unreadable_data": ("the file is damaged inside", "copy the recording again"),
}

REASONS: Mapping[str, Reason] = {
    **{name: Reason(name, "filter", *texts) for name, texts in _FILTERS.items()},
    **{name: Reason(name, "damage", *texts) for name, texts in _DAMAGE.items()},
}


def counted_reason(name: str, count: int) -> str:
    """Return a line for people: number, reason and its meaning; a block's own reason stands alone."""
    reason = REASONS.get(name)
    return f"{count} {name}: {reason.sentence}" if reason else f"{count} {name}"


def reason_lines(rejected: Mapping[str, int]) -> list[str]:
    """Return lines for people: each reason with its number of episodes, then its remedy."""
    lines = []
    for name, count in sorted(rejected.items()):
        lines.append(counted_reason(name, count))
        if name in REASONS:
            lines.append(f"  to do: {REASONS[name].remedy}")
    return lines
