"""Core: episode, features, errors, commit protocol, workspace, registry. Imports nothing of ours."""
