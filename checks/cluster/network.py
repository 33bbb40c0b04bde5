"""A network of its own for the nodes of a check: a namespace each, joined by a bridge, where this machine lets it.

The database and the clients are outside, at two addresses of the bridge, so that a node can be cut off from everything
or from the database alone. It needs root and `ip`; without them nodes are at loopback and nothing can be cut.
"""

import os
import random
import shutil
import subprocess


def ip(*words, inside=None):
    namespace = [] if inside is None else ["-n", inside]
    return subprocess.run(["ip", *namespace, *words], capture_output=True, text=True).returncode == 0


class Loopback:
    """No network of its own."""

    can_cut = False
    database = "127.0.0.1"

    def address(self, name):
        return "127.0.0.1"

    def command(self, name):
        return []

    def remove(self):
        pass


class Namespaces:
    """Namespaces of that number, for these nodes."""

    can_cut = True

    def __init__(self, number, names):
        self.number, self.names = number, names
        self.bridge, self.prefix = f"abb{number}", f"10.83.{number}"
        self.database = f"{self.prefix}.2"
        steps = [("link", "add", self.bridge, "type", "bridge"), ("link", "set", self.bridge, "up")]
        steps += [("addr", "add", f"{self.prefix}.{last}/24", "dev", self.bridge) for last in (1, 2)]
        self.is_made = all(ip(*step) for step in steps) and all(self.add(name) for name in names)

    def space(self, name):
        return f"ab{self.number}{name}"

    def address(self, name):
        return f"{self.prefix}.{11 + self.names.index(name)}"

    def add(self, name):
        space, outer = self.space(name), f"abv{self.number}{name}"
        pair = ("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
        steps = [("netns", "add", space), pair, ("link", "set", outer, "master", self.bridge)]
        steps += [("link", "set", outer, "up")]
        inner = [("link", "set", "lo", "up"), ("addr", "add", f"{self.address(name)}/24", "dev", "eth0")]
        inner += [("link", "set", "eth0", "up")]
        return all(ip(*step) for step in steps) and all(ip(*step, inside=space) for step in inner)

    def command(self, name):
        """What begins a command that is run at that node."""
        return ["ip", "netns", "exec", self.space(name)]

    def cut(self, name, is_cut):
        """Loses every packet to and from that node."""
        ip("link", "set", f"abv{self.number}{name}", "down" if is_cut else "up")

    def cut_from_database(self, name, is_cut):
        """Loses every packet from that node to the database."""
        ip("route", "add" if is_cut else "del", "blackhole", self.database, inside=self.space(name))

    def remove(self):
        for name in self.names:
            ip("netns", "del", self.space(name))
        ip("link", "del", self.bridge)


def network(names):
    """Namespaces where they can be had."""
    if os.getuid() == 0 and shutil.which("ip"):
        for number in random.sample(range(1, 255), 3):
            made = Namespaces(number, names)
            if made.is_made:
                return made
            made.remove()
    return Loopback()
