from morphpipe.console import log_to
from morphpipe.morphology.profiles import field_profiles, write_profiles

log_to(snakemake.log[0])
profiles = field_profiles(
    list(snakemake.input.images),
    list(snakemake.input.objects),
    list(snakemake.input["fields"]),
)
write_profiles(profiles, snakemake.output.profiles)
