"""The tables of mp4 files, read and written without FFmpeg."""
