from morphpipe.morphology.profiles import field_profiles, write_profiles
from morphpipe.stages.job import start_job

start_job(snakemake.log[0], snakemake.input)
profiles = field_profiles(
    list(snakemake.input.images),
    list(snakemake.input.objects),
    list(snakemake.input["fields"]),
)
write_profiles(profiles, snakemake.output.profiles)
