"""Copy of HDF5 objects with everything that HDF5 stores about them; links are kept, not followed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5, h5a, h5d, h5g, h5i, h5l, h5o, h5p, h5r, h5s, h5t

from ....core.columns import Array
from ....core.errors import EpisodeRejected
from ....core.source_file import beside
from ..hdf5_file import DAMAGE, Object, check_filters, file_name, lookup, object_name, reading
from .stored_values import (
    copy_big_chunks,
    copy_values,
    has_big_chunks,
    has_pointers,
    is_known,
    is_swapped,
    type_classes,
)


class ObjectCopy:
    """Copy of episodes of one recording into a new file.

    Datasets are copied by H5Ocopy: chunks as they are stored, also those of filters that HDF5 lacks. It sets references
    to null, and keeps names of files that are relative to the recording's folder; this class translates both. It holds
    a chunk whole in memory, and values of variable length; large chunks are copied by pieces instead, such values some
    rows at a time.

    Args:
        source: The recording.
        target: The new file.
        folder: Folder that the new file will be in.
        moved: Path of each group to copy in the recording, without a slash at the ends (an empty text is the root), to
            its path in the new file.

    Attributes:
        notes: What is not in the new file as it is in the recording, or still depends on other files.
    """

    def __init__(self, source: h5py.File, target: h5py.File, folder: Path, moved: Mapping[str, str]) -> None:
        self._source = source
        self._target = target
        self._folder = folder
        self._moved = moved
        self._made: dict[int, bytes] = {}  # address in the recording to path in the new file
        self._references: list[Callable[[], None]] = []  # to write when all objects exist
        self.notes: list[str] = []

    def copy(self, path: str) -> None:
        """Copy one of the groups, with the attributes of those above it where they are not there yet.

        Raises:
            EpisodeRejected: unreadable_data or missing_filter if HDF5 cannot read it, missing_dataset or missing_file
                if a link to it leads nowhere.
        """
        with reading(f"/{path} in {self._source.filename}"):
            above, _, name = path.rpartition("/")
            source, target = self._above(above if name else "")
            if not name:
                self._members(source, target, "")
            else:
                new = self._moved[path]
                for inner in self._link(source, os.fsencode(name), target, os.fsencode(new.rpartition("/")[2]), new):
                    self._members(*inner)

    def copy_list(self, path: str, texts: Sequence[str]) -> None:
        """Create a list of texts as one in the recording is, with its attributes, but with other texts.

        Raises:
            EpisodeRejected: unreadable_data if HDF5 cannot read it.
        """
        with reading(f"/{path} in {self._source.filename}"):
            above, _, name = path.rpartition("/")
            _, target = self._above(above)
            item = h5o.open(self._source.id, os.fsencode(path))
            stored, kind = item.get_create_plist(), item.get_type().copy()
            values = [os.fsencode(text) for text in texts]
            if kind.is_variable_str():
                memory, rows = h5t.py_create(item.dtype), np.array(values, item.dtype)
            else:
                ends = int(kind.get_strpad() == h5t.STR_NULLTERM)
                kind.set_size(max(kind.get_size(), *(len(value) + ends for value in values), 1))
                memory, rows = kind, np.array(values, f"S{kind.get_size()}")
            most = item.get_space().get_simple_extent_dims(maxdims=True)[0]
            if stored.get_layout() != h5d.CHUNKED:
                most = len(texts)
            else:
                stored.set_chunk(stored.get_chunk())  # it had the size of the old type with it
                most = most if most == h5s.UNLIMITED else max(most, len(texts))
            copy = h5d.create(target, os.fsencode(name), kind, h5s.create_simple((len(texts),), (most,)), stored)
            copy.write(h5s.ALL, h5s.ALL, rows, memory)
            self._made[h5o.get_info(item).addr] = os.fsencode(f"/{path}")
            self._attributes(item, copy, path)

    def finish(self) -> None:
        """Write the references between objects, after the last `copy`."""
        with reading(f"a reference in {self._source.filename}"):
            for write in self._references:
                write()
        self._references = []

    def _above(self, path: str) -> tuple[h5g.GroupID, h5g.GroupID]:
        """Return a group above an episode and its copy, which has its attributes but not what is below it."""
        source, target = self._source["/"], self._target["/"].id
        parts = path.split("/") if path else []
        for depth in range(len(parts) + 1):
            at = "/".join(parts[:depth])
            found = lookup(self._source, at or "/")
            if not isinstance(found, h5py.Group):
                raise EpisodeRejected("missing_dataset", f"{self._source.filename} has no group /{at}")
            source = found
            if depth:
                name = os.fsencode(parts[depth - 1])
                exists = target.links.exists(name)
                target = (
                    h5g.open(target, name) if exists else h5g.create(target, name, None, _group_properties(source.id))
                )
            self._made.setdefault(h5o.get_info(source.id).addr, os.fsencode(f"/{at}"))
            self._attributes(source.id, target, at)
        return source.id, target

    def _members(self, source: h5g.GroupID, target: h5g.GroupID, path: str) -> None:
        """Copy what is below a group; groups in groups wait, so that no depth is too much for Python."""
        pending = [(source, target, path)]
        while pending:
            source, target, path = pending.pop()
            for name in _link_names(source):
                pending += self._link(source, name, target, name, f"{path}/{os.fsdecode(name)}".lstrip("/"))

    def _link(
        self, source: h5g.GroupID, name: bytes, target: h5g.GroupID, new: bytes, path: str
    ) -> list[tuple[h5g.GroupID, h5g.GroupID, str]]:
        """Copy a link and the object behind a hard one; return it with its copy if it is a group, still empty."""
        info = source.links.get_info(name)
        made = h5p.create(h5p.LINK_CREATE)
        made.set_char_encoding(info.cset)
        if info.type == h5l.TYPE_HARD:
            return self._object(source, name, target, new, made, path)
        if info.type == h5l.TYPE_EXTERNAL:
            file, inside = source.links.get_val(name)
            target.links.create_external(new, self._relocated(file, path, "the link"), inside, lcpl=made)
            return []
        if info.type != h5l.TYPE_SOFT:
            self.notes.append(f"{path}: a link of type {info.type} is not copied")
            return []
        return self._soft(source, name, target, new, made, path)

    def _soft(
        self, source: h5g.GroupID, name: bytes, target: h5g.GroupID, new: bytes, made: h5p.PropLCID, path: str
    ) -> list[tuple[h5g.GroupID, h5g.GroupID, str]]:
        value = source.links.get_val(name)
        inside = self._inside(value) if value.startswith(b"/") else value
        if inside is None or path in self._moved.values():
            found = self._found(source, name)
            if found is not None and not os.path.samefile(file_name(found), file_name(self._source)):
                file = self._needed(Path(os.path.abspath(file_name(found))), path, "the link")
                target.links.create_external(new, file, found.name.encode(errors="surrogateescape"), lcpl=made)
                return []
            if found is not None:
                self.notes.append(f"{path}: the link to {os.fsdecode(value)} is now a copy of what it leads to")
                return self._object(found.id, b".", target, new, made, path)
            self.notes.append(f"{path}: the link to {os.fsdecode(value)} leads nowhere, as in the recording")
        target.links.create_soft(new, inside or value, lcpl=made)
        return []

    def _found(self, source: h5g.GroupID, name: bytes) -> Object | None:
        try:
            return lookup(h5py.Group(source), os.fsdecode(name))
        except EpisodeRejected as exc:
            if exc.reason == "outside_file":
                raise
            return None

    def _inside(self, path: bytes) -> bytes | None:
        """Return the new path of something below a copied group, or of a group above one; None for other paths."""
        text = os.fsdecode(path).strip("/")
        for old, new in self._moved.items():
            if not old or text == old or text.startswith(f"{old}/"):
                return path if old == new else os.fsencode(f"/{new}{text.removeprefix(old)}")
            if not text or old.startswith(f"{text}/"):
                return path
        return None

    def _object(
        self, source: h5i.ObjectID, name: bytes, target: h5g.GroupID, new: bytes, made: h5p.PropLCID, path: str
    ) -> list[tuple[h5g.GroupID, h5g.GroupID, str]]:
        item = h5o.open(source, name)
        address = h5o.get_info(item).addr
        if address in self._made:
            target.links.create_hard(new, self._target.id, self._made[address], lcpl=made)
            return []
        self._made[address] = os.fsencode(f"/{path}")
        if isinstance(item, h5g.GroupID):
            group = h5g.create(target, new, lcpl=made, gcpl=_group_properties(item))
            self._attributes(item, group, path)
            return [(item, group, path)]
        if isinstance(item, h5d.DatasetID):
            self._dataset(item, target, new, made, path)
        else:
            h5o.copy(item, b".", target, new, lcpl=made)
        return []

    def _dataset(self, item: h5d.DatasetID, target: h5g.GroupID, new: bytes, made: h5p.PropLCID, path: str) -> None:
        stored, kind = item.get_create_plist(), item.get_type()
        if stored.get_layout() == h5d.VIRTUAL or stored.get_external_count():
            copy = h5d.create(target, new, kind, item.get_space(), self._led_elsewhere(item, path), made)
        elif not has_pointers(kind) and has_big_chunks(item) and not self._source.userblock_size:
            copy = h5d.create(target, new, kind, item.get_space(), stored, made)
            copy_big_chunks(item, copy, file_name(self._source), file_name(self._target))
        elif not has_pointers(kind) or not is_known(item):
            h5o.copy(item, b".", target, new, lcpl=made)
            if not h5a.get_num_attrs(item):
                return
            copy = h5d.open(target, new)
        else:
            check_filters(h5py.Dataset(item))
            copy = h5d.create(target, new, kind, item.get_space(), stored, made)
            write = partial(copy_values, item, copy, partial(self._translated, where=path))
            if h5t.REFERENCE in type_classes(kind):
                self._references.append(write)
            else:
                write()
        self._attributes(item, copy, path)

    def _attributes(self, source: h5i.ObjectID, target: h5i.ObjectID, path: str) -> None:
        """Copy the attributes that the target lacks, and later the references in all."""
        for name in attribute_names(source):
            attribute = h5a.open(source, name)
            kind = attribute.get_type()
            where = f"attribute {object_name(name)!r} of /{path.strip('/')}"
            is_new = not h5a.exists(target, name)
            if is_new and is_swapped(kind):
                self.notes.append(f"{where}: lists of numbers in another byte order are not copied")
                continue
            made = h5a.create(target, name, kind, attribute.get_space()) if is_new else h5a.open(target, name)
            if attribute.get_space().get_simple_extent_type() != h5s.NULL:
                if h5t.REFERENCE in type_classes(kind):
                    self._references.append(partial(self._attribute, attribute, made, where))
                elif is_new:
                    self._attribute(attribute, made, where)

    def _attribute(self, attribute: h5a.AttrID, made: h5a.AttrID, where: str) -> None:
        kind = attribute.get_type()
        if has_pointers(kind):
            values = np.empty(attribute.shape, attribute.dtype)
            known = h5t.py_create(attribute.dtype)
            attribute.read(values, known)
            made.write(self._translated(values, where), known)
        else:  # its bytes, of types too that numpy does not have
            values = np.empty(attribute.shape, f"V{kind.get_size()}")
            attribute.read(values, kind)
            made.write(values, kind)

    def _translated(self, values: Array, where: str) -> Array:
        """Return values with references to the copies; those to objects that are not copied are null."""
        if values.dtype.names is not None:
            new = values.copy()
            for name in values.dtype.names:
                new[name] = self._translated(values[name], where)
            return new
        if values.dtype.kind != "O":
            return values
        new = np.empty_like(values)
        for index, value in enumerate(values.flat):
            if isinstance(value, h5py.Reference):  # region references too
                value = self._reference(value, where)
            elif isinstance(value, np.ndarray):
                value = self._translated(value, where)
            new.flat[index] = value
        return new

    def _reference(self, reference: Any, where: str) -> Any:
        if not reference:
            return type(reference)()
        is_region = isinstance(reference, h5py.RegionReference)
        path = region = None
        with suppress(*DAMAGE):  # the object was deleted
            path = self._made.get(h5o.get_info(h5r.dereference(reference, self._source.id)).addr)
            region = h5r.get_region(reference, self._source.id) if path and is_region else None
        if path and (region is not None or not is_region):
            return h5r.create(self._target.id, path, h5r.DATASET_REGION if is_region else h5r.OBJECT, region)
        note = f"{where}: references to what is not copied are null"
        if note not in self.notes:
            self.notes.append(note)
        return type(reference)()

    def _led_elsewhere(self, item: h5d.DatasetID, path: str) -> h5p.PropDCID:
        """Return the properties of a dataset with its rows in other datasets or files; their names are relocated."""
        old, new = item.get_create_plist(), h5p.create(h5p.DATASET_CREATE)
        new.set_alloc_time(old.get_alloc_time())
        new.set_fill_time(old.get_fill_time())
        _set_object_properties(old, new)
        if old.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
            fill = np.zeros((), item.dtype)
            old.get_fill_value(fill)
            new.set_fill_value(fill)
        for index in range(old.get_external_count()):
            name, offset, size = old.get_external(index)
            new.set_external(self._relocated(name, path, "rows in the raw file"), offset, size)
        if old.get_layout() == h5d.VIRTUAL:
            new.set_layout(h5d.VIRTUAL)
            for index in range(old.get_virtual_count()):
                file, name = map(os.fsencode, (old.get_virtual_filename(index), old.get_virtual_dsetname(index)))
                if file != b".":  # "%b" in a name counts blocks, "%%" is a percent sign
                    folder, own = os.path.split(self._relocated(file, path, "rows in"))
                    is_verbatim = os.path.isabs(file) or b"%" in os.path.dirname(file)
                    file = os.path.join(folder if is_verbatim else folder.replace(b"%", b"%%"), own)
                elif inside := self._inside(name):
                    name = inside
                else:
                    here = Path(os.path.abspath(file_name(self._source)))
                    file = self._needed(here, path, "rows in").replace(b"%", b"%%")
                rows, there = old.get_virtual_vspace(index), old.get_virtual_srcspace(index)
                if there.get_select_type() == h5s.SEL_ALL:  # the file does not say of how many rows; HDF5 counts them
                    there = h5s.create_simple((rows.get_select_npoints(),))
                new.set_virtual(rows, file, name, there)
        return new

    def _relocated(self, name: bytes, path: str, what: str) -> bytes:
        """Return the name of another file as the new file must give it."""
        text, here = os.fsdecode(name), os.path.abspath(file_name(self._source))
        found = beside(here, text) or Path(os.path.dirname(here), text)
        new = self._needed(found, path, what)
        return name if os.path.isabs(text) else new

    def _needed(self, file: Path, path: str, what: str) -> bytes:
        """Return the name of a file as one in the new folder, and note that the new file needs it."""
        note = f"{path}: {what} {file} is not copied, the new file needs it too"
        if note not in self.notes:
            self.notes.append(note)
        return os.fsencode(os.path.relpath(file, os.path.realpath(self._folder)))


def _link_names(group: h5g.GroupID) -> list[bytes]:
    """Return the names of a group's links, as they were created where HDF5 knows it."""
    is_tracked = group.get_create_plist().get_link_creation_order() & h5p.CRT_ORDER_TRACKED
    names: list[bytes] = []
    group.links.iterate(names.append, idx_type=h5.INDEX_CRT_ORDER if is_tracked else h5.INDEX_NAME)
    return names


def _group_properties(group: h5g.GroupID) -> h5p.PropGCID:
    """Return the properties of a group for a new one.

    HDF5 must not create another with its own list: that has the address of the heap of its links (seen in 2.0.0).
    """
    old, new = group.get_create_plist(), h5p.create(h5p.GROUP_CREATE)
    new.set_link_creation_order(old.get_link_creation_order())
    _set_object_properties(old, new)
    return new


def _set_object_properties(old: h5p.PropOCID, new: h5p.PropOCID) -> None:
    new.set_attr_creation_order(old.get_attr_creation_order())
    new.set_attr_phase_change(*old.get_attr_phase_change())
    new.set_obj_track_times(old.get_obj_track_times())


def attribute_names(item: h5i.ObjectID) -> Iterator[bytes]:
    """Yield the names of an object's attributes, as they were created where HDF5 knows it."""
    is_tracked = False
    if isinstance(item, h5g.GroupID | h5d.DatasetID):
        is_tracked = item.get_create_plist().get_attr_creation_order() & h5p.CRT_ORDER_TRACKED
    order = h5.INDEX_CRT_ORDER if is_tracked else h5.INDEX_NAME
    for index in range(h5a.get_num_attrs(item)):
        yield h5a.open(item, index=index, index_type=order).name
