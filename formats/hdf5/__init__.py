"""Reading demonstrations: the only home of h5py."""
