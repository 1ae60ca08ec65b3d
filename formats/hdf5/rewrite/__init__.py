"""Rewriting recordings: episodes of HDF5 files in other files, without loss."""
