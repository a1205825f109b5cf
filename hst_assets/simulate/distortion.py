"""Where each chip lies in the focal plane and how it is distorted: figures, no computation.

Linear terms, SIP polynomials and V2/V3 positions are those that the pipeline wrote into headers
of real exposures from its distortion tables (WFC3 2731450pi and w3m18525i, ACS 4bb1536cj and
n721640fj, WFPC2 sad1946fu); `hst_assets.simulate.geometry` turns them into a WCS.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GEOMETRIES", "ChipGeometry", "DetectorGeometry", "Terms"]

#: SIP terms as (power of u, power of v, coefficient).
Terms = tuple[tuple[int, int, float], ...]


def _terms(text: str) -> Terms:
    """Read ``"20 1.2e-06; 11 -3e-06"``: powers of u and v, then the coefficient."""
    rows = (row.split() for row in text.split(";"))
    return tuple((int(powers[0]), int(powers[1]), float(value)) for powers, value in rows)


@dataclass(frozen=True)
class ChipGeometry:
    """One chip, as the distortion table describes it.

    Attributes
    ----------
    extver : int
        EXTVER of its SCI extension in a full-frame exposure.
    ccdchip : int
        CCDCHIP (for WFPC2 DETECTOR): 1 is the PC.
    reference_pixel : tuple of float
        IDCXREF, IDCYREF: where the polynomials are centred, 1-based as FITS counts.
    v2v3_arcsec : tuple of float
        Where the telescope's focal plane has that pixel.
    theta_deg : float
        IDCTHETA: from the V3 axis to the frame's y axis.
    linear : tuple of tuple of float
        ((OCX11, OCX10), (OCY11, OCY10)): pixels to arcseconds in the chip's frame.
    sip_a, sip_b : Terms
        Distortion in x and y.
    flipped : bool
        Whether x and y of the frame both point the other way (ACS/WFC).
    """

    extver: int
    ccdchip: int
    reference_pixel: tuple[float, float]
    v2v3_arcsec: tuple[float, float]
    theta_deg: float
    linear: tuple[tuple[float, float], tuple[float, float]]
    sip_a: Terms
    sip_b: Terms
    flipped: bool = False


@dataclass(frozen=True)
class DetectorGeometry:
    """The chips of one detector.

    Attributes
    ----------
    idctab : str
        Rootname of the distortion table, for WCSNAME.
    scales_arcsec : tuple of float
        IDCSCALE of each chip, in the order of `chips`.
    aim : tuple
        (EXTVER, x, y): the 0-based pixel that a full-frame exposure puts on its target.
    chips : tuple of ChipGeometry
        In the order of EXTVER.
    """

    idctab: str
    scales_arcsec: tuple[float, ...]
    aim: tuple[int, float, float]
    chips: tuple[ChipGeometry, ...]


_UVIS = (
    ChipGeometry(
        extver=1,
        ccdchip=2,
        reference_pixel=(2048.0, 1026.0),
        v2v3_arcsec=(-27.4596, -33.2604),
        theta_deg=45.0,
        linear=((0.039778009057, 0.000175079636392), (0.00233698799275, 0.0398411117494)),
        sip_a=_terms(
            """02 9.687522165418e-08; 03 1.839771373953e-11; 04 -1.572417890272e-14; 11
            -3.007330989983e-06; 12 1.521713963262e-11; 13 1.067766594035e-14; 20
            2.930811634663e-06; 21 -1.261709227395e-11; 22 -1.725583405793e-14; 30
            3.055841346531e-11; 31 6.659297866783e-15; 40 -7.458238590171e-15"""
        ),
        sip_b=_terms(
            """02 -3.118242574725e-06; 03 1.492705379255e-11; 04 1.731201553627e-14; 11
            2.814702551404e-06; 12 -5.079459584656e-12; 13 8.680791402328e-15; 20
            -5.831928550442e-08; 21 1.029020872367e-11; 22 1.89739365693e-14; 30
            1.801162771935e-13; 31 -6.694073536343e-16; 40 2.818335988019e-15"""
        ),
    ),
    ChipGeometry(
        extver=2,
        ccdchip=1,
        reference_pixel=(2048.0, 1026.0),
        v2v3_arcsec=(30.6428, 25.24201),
        theta_deg=45.0,
        linear=((0.0395412966609, 0.000128523723106), (0.00258043059148, 0.0393699519336)),
        sip_a=_terms(
            """02 -1.630053740409e-08; 03 -1.071240212565e-13; 04 6.334978144581e-15; 11
            -2.894628386755e-06; 12 1.661693302109e-11; 13 1.279956384737e-14; 20
            2.880976870206e-06; 21 -5.10767354916e-12; 22 4.005393735484e-16; 30
            2.502732248376e-11; 31 9.384272934711e-16; 40 -1.117406598476e-15"""
        ),
        sip_b=_terms(
            """02 -2.881143360763e-06; 03 4.06599817677e-11; 04 -2.19132265003e-14; 11
            2.829336414433e-06; 12 -4.059258481995e-12; 13 -5.164928369422e-15; 20
            -8.529638205278e-10; 21 9.763892182161e-13; 22 -6.541032706967e-15; 30
            1.093376797781e-11; 31 -3.227877209276e-15; 40 -2.323744145179e-15"""
        ),
    ),
)

_IR = (
    ChipGeometry(
        extver=1,
        ccdchip=1,
        reference_pixel=(507.0, 507.0),
        v2v3_arcsec=(1.019, -0.507),
        theta_deg=45.0,
        linear=((0.135410711169, 0.000776120403316), (-0.000421322503826, 0.12095105648)),
        sip_a=_terms(
            """02 5.36543879655e-08; 03 3.576081248016e-11; 04 -2.029865441111e-13; 11
            2.445679985162e-05; 12 5.99977055536e-11; 13 6.204218973348e-13; 20
            -1.97679037959e-07; 21 1.124262132811e-10; 22 -2.099980566251e-14; 30
            -1.45474436939e-10; 31 5.611378828807e-13; 40 -3.350311477329e-13"""
        ),
        sip_b=_terms(
            """02 3.00207750656e-05; 03 -1.677354744518e-10; 04 7.747351884879e-13; 11
            -1.746971844579e-07; 12 4.265500752685e-11; 13 -9.068843123989e-14; 20
            6.980274115329e-06; 21 -2.63387475321e-10; 22 -6.963014672256e-14; 30
            5.315413454218e-11; 31 1.001353007743e-13; 40 -6.139828861644e-13"""
        ),
    ),
)

_HRC = (
    ChipGeometry(
        extver=1,
        ccdchip=1,
        reference_pixel=(512.0, 512.0),
        v2v3_arcsec=(207.08, 471.474),
        theta_deg=0.0,
        linear=((0.0282809995115, -3.50000009348e-05), (0.00291400006972, 0.0248429998755)),
        sip_a=_terms(
            """02 -7.08893959681e-07; 03 -1.881523617031e-11; 04 3.526631286675e-14; 11
            9.018654807337e-06; 12 4.100954543776e-10; 13 -1.841652038423e-13; 20
            -3.316360209964e-06; 21 -2.92400364547e-11; 22 -1.345823466579e-12; 30
            9.657744724323e-11; 31 -2.224275242071e-12; 40 3.237452274043e-13"""
        ),
        sip_b=_terms(
            """02 1.150769652055e-05; 03 7.35894516029e-10; 04 -1.278097090704e-12; 11
            -2.669740417238e-06; 12 -6.311644433524e-10; 13 -5.393206316261e-13; 20
            2.000598776392e-06; 21 3.020732322581e-10; 22 9.933876572609e-13; 30
            4.487611618305e-10; 31 -1.306503280771e-12; 40 2.668239173155e-13"""
        ),
    ),
)

_WFPC2 = (
    ChipGeometry(
        extver=1,
        ccdchip=1,
        reference_pixel=(425.0, 425.0),
        v2v3_arcsec=(2.570761, -30.29991),
        theta_deg=224.848,
        linear=((0.045532, 0), (5.07545199245e-05, 0.0455301789606)),
        sip_a=_terms(
            """02 -1.770700009729e-06; 03 -7.585199829352e-11; 11 -1.905799990709e-06; 12
            -3.58399994127e-08; 20 -3.733299990927e-06; 21 4.551100052375e-10; 30
            -3.606799836575e-08"""
        ),
        sip_b=_terms(
            """02 -3.340359786226e-06; 03 -3.64673757239e-08; 11 -2.074358619165e-06; 12
            4.571591356856e-10; 20 -1.987017867928e-06; 21 -3.616395329516e-08; 30
            -1.68391743757e-10"""
        ),
    ),
    ChipGeometry(
        extver=2,
        ccdchip=2,
        reference_pixel=(425.0, 425.0),
        v2v3_arcsec=(-52.21881, -5.03053),
        theta_deg=314.352,
        linear=((0.09959, 0), (1.35442402375e-05, 0.0995860169262)),
        sip_a=_terms(
            """02 -6.54220002616e-07; 03 1.896300061421e-10; 11 -2.922700105046e-06; 12
            -3.460700170876e-08; 20 -4.437300049176e-06; 21 3.034099915755e-10; 30
            -3.341299859017e-08"""
        ),
        sip_b=_terms(
            """02 -3.157337246155e-06; 03 -3.280733760443e-08; 11 -4.03886412263e-06; 12
            2.133050897702e-10; 20 -2.696273101161e-07; 21 -3.474143183553e-08; 30
            6.143562544325e-11"""
        ),
    ),
    ChipGeometry(
        extver=3,
        ccdchip=3,
        reference_pixel=(425.0, 425.0),
        v2v3_arcsec=(0.87, 47.96),
        theta_deg=44.67,
        linear=((0.09957, 0), (-7.43459294448e-06, 0.0995600413477)),
        sip_a=_terms(
            """02 6.399999818996e-08; 03 3.982200125208e-10; 11 -2.510199919925e-06; 12
            -3.491100031283e-08; 20 -2.481800038368e-06; 21 1.137799993112e-10; 30
            -3.396300130021e-08"""
        ),
        sip_b=_terms(
            """02 -2.652660630062e-06; 03 -3.390936332707e-08; 11 -3.008488349358e-06; 12
            1.111844200239e-10; 20 -1.922045338754e-07; 21 -3.504749653773e-08; 30
            7.332341651756e-11"""
        ),
    ),
    ChipGeometry(
        extver=4,
        ccdchip=4,
        reference_pixel=(425.0, 425.0),
        v2v3_arcsec=(55.44185, -6.108138),
        theta_deg=135.221,
        linear=((0.099618, 0), (1.85956924625e-05, 0.0996379269061)),
        sip_a=_terms(
            """02 -4.693299899827e-07; 03 -1.137799993112e-10; 11 -2.780400109259e-06; 12
            -3.555599903393e-08; 20 -3.477299969745e-06; 21 4.171900047645e-10; 30
            -3.453200037029e-08"""
        ),
        sip_b=_terms(
            """02 -2.886434988684e-06; 03 -3.452507297057e-08; 11 -3.447691418183e-06; 12
            4.237424806886e-10; 20 -3.548399029829e-07; 21 -3.583290951844e-08; 30
            -2.779383137962e-10"""
        ),
    ),
)

_WFC = (
    ChipGeometry(
        extver=1,
        ccdchip=2,
        reference_pixel=(2048.0, 1024.0),
        v2v3_arcsec=(256.6222, 302.2264),
        theta_deg=0.0,
        flipped=True,
        linear=(
            (0.0498307741748614, 0.001961771095643072),
            (0.001490550115269471, 0.05027452911198226),
        ),
        sip_a=_terms(
            """02 2.166159529762e-06; 03 1.081935198203e-11; 11 -5.197457646683e-06; 12
            -5.234870743692e-10; 20 8.551277582557e-06; 21 -3.977154774729e-11; 30
            -4.730444829223e-10"""
        ),
        sip_b=_terms(
            """02 -7.216881450774e-06; 03 -4.175472049275e-10; 11 6.184432357745e-06; 12
            -6.169265268681e-11; 20 -1.746491877059e-06; 21 -5.085716167386e-10; 30
            8.567635427816e-11"""
        ),
    ),
    ChipGeometry(
        extver=2,
        ccdchip=1,
        reference_pixel=(2048.0, 1024.0),
        v2v3_arcsec=(260.8871, 198.3322),
        theta_deg=0.0,
        flipped=True,
        linear=(
            (0.0492242502262243, 0.002267080585457191),
            (0.002132039303452174, 0.04858284026784934),
        ),
        sip_a=_terms(
            """02 2.261941311576e-06; 03 6.51050888732e-11; 11 -7.530289995687e-06; 12
            -5.253920848285e-10; 20 8.518868718265e-06; 21 -1.071400514498e-10; 30
            -4.693635321207e-10"""
        ),
        sip_b=_terms(
            """02 -9.798580190745e-06; 03 -4.142150276489e-10; 11 6.425699782301e-06; 12
            -3.035426844546e-11; 20 -2.96589220485e-06; 21 -4.403492054468e-10; 30
            9.003342263455e-11"""
        ),
    ),
)

GEOMETRIES: dict[str, DetectorGeometry] = {
    "wfc3_uvis": DetectorGeometry("2731450pi", (0.03962, 0.03962), (1, 2047.0, 1025.0), _UVIS),
    "wfc3_ir": DetectorGeometry("w3m18525i", (0.12825,), (1, 506.0, 506.0), _IR),
    "acs_wfc": DetectorGeometry("4bb1536cj", (0.05, 0.05), (1, 2047.0, 1023.0), _WFC),
    "acs_hrc": DetectorGeometry("n721640fj", (0.025,), (1, 511.0, 511.0), _HRC),
    "wfpc2": DetectorGeometry(
        "sad1946fu", (0.045532, 0.09959, 0.09957, 0.099618), (3, 424.0, 424.0), _WFPC2
    ),
}
