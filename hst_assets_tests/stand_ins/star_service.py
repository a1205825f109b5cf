"""A stand-in of the catalogue service that HAP asks for stars of Gaia: the stars of a scene."""

from __future__ import annotations

from urllib.parse import parse_qs, urlparse

import numpy as np

from hst_assets_tests.stand_ins.loopback_server import LoopbackHandler, LoopbackServer

HEAD = "objID,ra,ra_error,dec,dec_error,pmra,pmra_error,pmdec,pmdec_error,epoch,mag"


def star_service(stars, magnitude_column):
    """A server of ``/vo/CatalogSearch.aspx``: the stars of a cone, or all of a polygon's scene."""

    class Handler(LoopbackHandler):
        def do_GET(self):
            query = {
                key.upper(): one[0] for key, one in parse_qs(urlparse(self.path).query).items()
            }
            found = stars if "STCS" in query else stars[_in_cone(stars, query)]
            lines = [f"{len(found)} sources", HEAD]
            lines += [
                f"{row['id']},{row['ra']:.9f},0.05,{row['dec']:.9f},0.05,0,0.05,0,0.05,2016.0,"
                f"{row[magnitude_column]:.4f}"
                for row in found
            ]
            body = ("\r\n".join(lines) + "\r\n").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return LoopbackServer(Handler)


def _in_cone(stars, query):
    ra, dec, radius = (float(query[key]) for key in ("RA", "DEC", "SR"))
    east = (stars["ra"] - ra) * np.cos(np.radians(dec))
    return np.hypot(east, stars["dec"] - dec) < radius
