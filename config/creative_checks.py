"""Whether a creative has what its format needs, and nothing that only other formats have."""

from config.faults import SchemaPath
from config.findings import Findings
from config.schema import Creative, Format

_NEEDED_FIELDS: dict[Format, tuple[str, ...]] = {
    "banner": ("w", "h"),
    "video": ("duration_seconds",),
    "audio": ("duration_seconds",),
    "native": ("native",),
}
"""What a creative of each format needs."""
_ONE_NEEDED: dict[Format, tuple[str, ...]] = {
    "banner": ("image_url", "html", "iframe_url"),
    "video": ("media_files", "vast_url"),
    "audio": ("media_files", "vast_url"),
    "native": (),
}
"""... of which it needs exactly one ..."""
_POSSIBLE_FIELDS: dict[Format, tuple[str, ...]] = {
    "banner": (),
    "video": ("vast_version", "skip_after_seconds"),
    "audio": ("vast_version",),
    "native": ("media_files", "duration_seconds"),
}
"""... and what it can have. What only other formats can have, it can't."""
_FIELDS_OF: dict[Format, tuple[str, ...]] = {
    format_: _NEEDED_FIELDS[format_] + _ONE_NEEDED[format_] + _POSSIBLE_FIELDS[format_]
    for format_ in _NEEDED_FIELDS
}
_FORMAT_FIELDS = tuple(dict.fromkeys(field for fields in _FIELDS_OF.values() for field in fields))


def check_creative(findings: Findings, path: SchemaPath, creative: Creative) -> None:
    """Note what a creative at a path lacks, or has without use."""
    format_ = creative.format
    given = [field for field in _FORMAT_FIELDS if getattr(creative, field) not in (None, ())]
    for field in _NEEDED_FIELDS[format_]:
        if field not in given:
            message = f"the {format_} creative `{creative.id}` needs `{field}`"
            findings.add(path, message, rests_on=((*path, "format"), (*path, field)))
    for field in given:
        if field not in _FIELDS_OF[format_]:
            message = f"{format_} creatives can't have `{field}`; take it out, or change the format"
            findings.add((*path, field), message, rests_on=((*path, "format"), (*path, field)))
    one_of = _ONE_NEEDED[format_]
    if one_of and sum(field in given for field in one_of) != 1:
        names = " or ".join(f"`{field}`" for field in one_of)
        message = f"the {format_} creative `{creative.id}` needs {names}, and only one of them"
        findings.add(path, message, rests_on=[(*path, "format"), *((*path, field) for field in one_of)])
    _check_stream_creative(findings, path, creative)


def _check_stream_creative(findings: Findings, path: SchemaPath, creative: Creative) -> None:
    """What goes for media files, wherever they are: a native ad's play in a video asset."""
    seconds, skip_after = creative.duration_seconds, creative.skip_after_seconds
    if seconds is not None and skip_after is not None and skip_after >= seconds:
        message = f"an ad of {seconds} seconds can't be skipped after {skip_after}; lower it, or take it out"
        findings.add((*path, "skip_after_seconds"), message, rests_on=[(*path, "duration_seconds")])
    if creative.vast_version is not None and creative.vast_url is None and creative.format != "native":
        message = "`vast_version` says what is behind a `vast_url`, and there is none; take it out"
        findings.add((*path, "vast_version"), message, rests_on=[(*path, "vast_url")])
    format_: Format = "video" if creative.format == "native" else creative.format
    if creative.format == "native" and creative.media_files and seconds is None:
        message = f"the native creative `{creative.id}` has a video, and so needs `duration_seconds`"
        findings.add(path, message, rests_on=[(*path, "duration_seconds")])
    if format_ not in ("video", "audio"):
        return
    for index, file in enumerate(creative.media_files):
        file_path = (*path, "media_files", index)
        if not file.mime.startswith(f"{format_}/"):
            message = f"`{file.mime}` is not {format_}; {format_} creatives need a type like "
            message += "video/mp4" if format_ == "video" else "audio/mpeg"
            findings.add((*file_path, "mime"), message, rests_on=[(*path, "format")])
        for field in ("w", "h") if format_ == "video" else ():
            if getattr(file, field) is None:
                message = f"a video file needs `{field}`, its size in pixels: VAST requires it"
                findings.add(file_path, message, rests_on=[(*path, "format"), (*file_path, field)])
