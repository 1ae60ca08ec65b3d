"""The words everyone speaks: Episode, Feature, Workspace, registry, errors. Imports nothing of ours."""
