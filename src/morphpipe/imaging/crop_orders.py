"""Named channel orders of single-cell crops."""

# The order of the fields.
OWN_ORDER = "fields"

# Channel orders of IMPA: RxRx1 from w6 to w1, BBBC021 as actin, tubulin, nucleus, cpg0000 (JUMP's
# pilot) as Mito, AGP, ER, RNA, DNA.
CROP_ORDERS: dict[str, tuple[str, ...]] = {
    "impa-rxrx1": ("Golgi", "mito", "RNA", "actin", "ER", "DNA"),
    "impa-bbbc021": ("actin", "tubulin", "DNA"),
    "impa-cpg0000": ("Mito", "AGP", "ER", "RNA", "DNA"),
}
