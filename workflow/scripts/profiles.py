from morphpipe.job import start_job
from morphpipe.morphology.profiles import field_profiles, write_profiles

start_job(snakemake.log[0], snakemake.input)
profiles = field_profiles(
    list(snakemake.input.images),
    list(snakemake.input.objects),
    list(snakemake.input["fields"]),
)
write_profiles(profiles, snakemake.output.profiles)
