"""Name resolvers (SANTA, Sesame) and the astrometric catalogue of a stand-in archive."""

from __future__ import annotations

from hst_assets_tests.stand_ins.caom import separation_deg

#: Columns of the astrometric catalogue.
CATALOGUE_COLUMNS = (
    "objID",
    "GaiaID",
    "ra",
    "dec",
    "RaErr",
    "DecErr",
    "pmra",
    "pmdec",
    "mag",
    "epoch",
)


def santa(names, asked):
    """The reply of MAST's resolver to the names asked for; unknown ones are left out."""
    found = []
    for name in asked:
        position = _position(names, name)
        if position:
            found.append(
                {
                    "searchString": name.lower(),
                    "resolver": "SIMBAD",
                    "cached": True,
                    "resolverTime": 1,
                    "searchRadius": -1.0,
                    "canonicalName": name,
                    "ra": position[0],
                    "decl": position[1],
                }
            )
    return {"resolvedCoordinate": found}


def sesame(names, name):
    """The reply of CDS' Sesame, as text; with ``%J`` if it knows the name."""
    position = _position(names, name)
    if not position:
        return f"# {name}\t#Q1\n#=Sc=Simbad:    0\n#! *** Nothing found *** \n#====Done====\n"
    ra, dec = position
    return (
        f"# {name}\t#Q1\n#=Sc=Simbad:    1     1ms\n%@ 1\n%C.0 G\n"
        f"%J {ra:.8f} {dec:+.8f} = 00 00 00.0 +00 00 00\n%I.0 {name}\n#====Done====\n"
    )


def catalogue(stars, query):
    """The reply of the astrometric catalogue: a line with the count, then CSV, with CRLF."""
    rows = stars
    if "RA" in query:
        ra, dec, radius = (float(query[key][0]) for key in ("RA", "DEC", "SR"))
        rows = [s for s in stars if separation_deg(ra, dec, s["ra"], s["dec"]) <= radius]
    lines = [f"Objects found: {len(rows)}", ",".join(CATALOGUE_COLUMNS)]
    lines += [",".join(str(star.get(name, "")) for name in CATALOGUE_COLUMNS) for star in rows]
    return "\r\n".join(lines) + "\r\n"


def _position(names, name):
    wanted = " ".join(name.split()).lower()
    return next((p for known, p in names.items() if known.lower() == wanted), None)
