"""Layouts: how each recorder arranges episodes in an HDF5 file."""
