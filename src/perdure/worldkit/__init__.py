"""World kit: what a world is built with, public for their authors. See docs/writing-a-world.md."""
