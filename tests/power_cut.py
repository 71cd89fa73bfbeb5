"""The disks that a power cut may leave, from a log of what was done to one.

A cut takes what was not synced: data and names alike, and not in the order in which they were
written. Of the data of a file that was not synced there may be nothing, all, a beginning cut off
at any byte, zeros where data should be, or some sectors and not others; of the changes of a
directory that was not synced any may be there and any not. A rename within a directory is one
change: the name is the old one or the new one. From one directory to another it is two.
"""

import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512


@dataclass
class File:
    """What is durable of a file, and what was done to it since: writes (offset, data), cuts."""

    durable: bytes = b""
    since: list = field(default_factory=list)

    def variants(self):
        """What a cut may leave of the data: nothing new first, all second."""
        if not self.since:
            return [self.durable]
        found = [self.durable, applied(self.durable, self.since)]
        for count in range(1, len(self.since)):
            found.append(applied(self.durable, self.since[:count]))
            found.append(applied(self.durable, self.since[count:]))
        at, data = self.since[-1]
        before = applied(self.durable, self.since[:-1])
        if data is not None:
            ends = {1, len(data) // 3, len(data) // 2, len(data) - 1}
            ends.update(range(SECTOR, len(data), SECTOR))
            for end in sorted(end for end in ends if 0 < end < len(data)):
                found.append(applied(before, [(at, data[:end])]))
                found.append(applied(before, [(at, data[:end] + bytes(len(data) - end))]))
                found.append(applied(before, [(at, bytes(end) + data[end:])]))
            found.append(applied(before, [(at, bytes(len(data)))]))
        return list(dict.fromkeys(found))


def applied(data, changes):
    """The bytes after some changes; a change without data cuts the file to a size."""
    whole = bytearray(data)
    for at, new in changes:
        if new is None:
            del whole[at:]
            whole.extend(bytes(at - len(whole)))
        else:
            whole.extend(bytes(max(0, at - len(whole))))
            whole[at : at + len(new)] = new
    return bytes(whole)


@dataclass
class Folder:
    """The names of a directory that are durable, and the changes since: {name: thing or None}."""

    durable: dict = field(default_factory=dict)
    since: list = field(default_factory=list)

    def now(self):
        return self.after(self.since)

    def after(self, changes):
        names = dict(self.durable)
        for change in changes:
            names.update(change)
        return {name: thing for name, thing in names.items() if thing is not None}


class Disk:
    """A directory as the kernel has it in memory, and what of it is on the disk.

    Args:
        root: of what the log speaks; its parent is there and durable.
        chance: chooses where there are too many disks to have all.
        image: what is durable at the beginning, by default nothing.
    """

    def __init__(self, root: Path, chance: random.Random, image=None) -> None:
        self.base = root.parent
        self.chance = chance
        self.top = Folder()
        self.things = [self.top]
        for path, data in (image or {}).items():
            thing = Folder() if data is None else File(data)
            self.things.append(thing)
            self.at(self.base / path.parent).durable[path.name] = thing

    def at(self, path):
        """What is at a path now."""
        thing = self.top
        for part in path.relative_to(self.base).parts:
            thing = thing.now()[part]
        return thing

    def do(self, operation):
        """Do an operation of the log."""
        path, kind = operation.path, operation.kind
        if not path.is_relative_to(self.base):
            return
        folder = self.top if path == self.base else self.at(path.parent)
        if kind in ("create", "make directory"):
            if path.name not in folder.now():
                thing = File() if kind == "create" else Folder()
                self.things.append(thing)
                folder.since.append({path.name: thing})
        elif kind == "write":
            file = self.at(path)
            file.since.append((operation.at, operation.data))
            if path.name == "lock":  # what it says is for people, and never synced
                file.durable, file.since = applied(file.durable, file.since), []
        elif kind == "truncate":
            self.at(path).since.append((operation.at, None))
        elif kind == "sync":
            file = self.at(path)
            file.durable, file.since = applied(file.durable, file.since), []
        elif kind == "sync directory":
            folder = self.at(path)
            folder.durable, folder.since = folder.now(), []
        elif kind in ("remove", "remove directory"):
            if path.name in folder.now():
                folder.since.append({path.name: None})
        elif kind == "link":
            self.at(operation.target.parent).since.append({operation.target.name: self.at(path)})
        elif kind == "rename":
            thing = folder.now()[path.name]
            if operation.target.parent == path.parent:
                folder.since.append({path.name: None, operation.target.name: thing})
            else:
                folder.since.append({path.name: None})
                self.at(operation.target.parent).since.append({operation.target.name: thing})
        else:
            raise AssertionError(f"the log has an operation of the unknown kind {kind}")

    def choices(self):
        """What a cut decides, each with its possibilities: nothing new first, all second."""
        found = []
        for thing in self.things:
            if isinstance(thing, File):
                variants = thing.variants()
            else:
                count = len(thing.since)
                masks = [0, 2**count - 1, *range(1, 2**count - 1)] if count else [0]
                variants = masks if count <= 6 else [*masks[:2], *self.chance.sample(masks[2:], 62)]
            if len(variants) > 1:
                found.append((thing, variants))
        return found

    def image(self, chosen):
        """The disk, as {path: bytes, or None for a directory}, by what was chosen for each."""

        def add(folder, path):
            mask = chosen.get(id(folder), 0)
            changes = [change for n, change in enumerate(folder.since) if mask >> n & 1]
            for name, thing in folder.after(changes).items():
                if isinstance(thing, File):
                    image[path / name] = chosen.get(id(thing), thing.durable)
                else:
                    image[path / name] = None
                    add(thing, path / name)

        image = {}
        add(self.top, Path())
        return image

    def images(self, most):
        """Disks that a cut now may leave: all, where they are at most `most`.

        Else those in which one thing is other than nothing new, or other than all, and random
        ones; with `most` 0, those in which all is there, or all but one thing, or nothing.
        """
        choices = self.choices()
        things = [thing for thing, _ in choices]
        count = 1
        for _, variants in choices:
            count *= len(variants)
        if not most:
            picks = self._few(choices)
        elif count <= most:
            picks = itertools.product(*(variants for _, variants in choices))
        else:
            picks = self._some(choices, most)
        for pick in picks:
            yield self.image(dict(zip(map(id, things), pick, strict=True)))

    def random_image(self):
        """One disk, by a random choice of each thing."""
        choices = self.choices()
        return self.image({id(thing): self.chance.choice(variants) for thing, variants in choices})

    def memory(self):
        """The disk as the kernel has it: what a process finds after another was killed."""
        return self.image({id(thing): variants[1] for thing, variants in self.choices()})

    @staticmethod
    def _few(choices):
        every = [variants[1] for _, variants in choices]
        yield tuple(variants[0] for _, variants in choices)
        yield tuple(every)
        for n, (_, variants) in enumerate(choices):
            yield (*every[:n], variants[0], *every[n + 1 :])

    def _some(self, choices, most):
        for end in (0, 1):
            ends = [variants[end] for _, variants in choices]
            yield tuple(ends)
            for n, (_, variants) in enumerate(choices):
                for variant in variants:
                    yield (*ends[:n], variant, *ends[n + 1 :])
        for _ in range(most // 4):
            yield tuple(self.chance.choice(variants) for _, variants in choices)


def put(image, base: Path) -> None:
    """Make the files of an image below `base`."""
    for path, data in image.items():
        if data is None:
            (base / path).mkdir()
        else:
            (base / path).write_bytes(data)
