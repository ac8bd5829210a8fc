"""The shape of a JSON answer: which fields it has and of what kind, whatever they say."""


def shape(value, named=None, path=""):
    """The set of 'path: kind' of a JSON value. Lists are folded into one entry, and so are objects at
    paths that the pattern `named` finds: their keys are names of things.
    """
    if isinstance(value, dict):
        if named and named.search(path):
            return {f"{path}.*"}
        found = {f"{path}: object"}
        for key, item in value.items():
            found |= shape(item, named, f"{path}.{key}")
        return found
    if isinstance(value, list):
        found = {f"{path}[]"}
        for item in value:
            found |= shape(item, named, f"{path}[]")
        return found
    if isinstance(value, bool):
        kind = "bool"
    elif isinstance(value, (int, float)):
        kind = "number"
    else:
        kind = type(value).__name__
    return {f"{path}: {kind}"}
