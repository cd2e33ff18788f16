"""Procedural worlds, bundled and real pictures, all as Hugging Face datasets."""
