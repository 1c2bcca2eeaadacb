from morphpipe.report.papers.run import PaperRun
from morphpipe.tables.lineage import start_job

start_job(snakemake.log[0], snakemake.input)
run = PaperRun.from_plain(snakemake.params.run)
name, output = snakemake.wildcards.item, snakemake.output
# A table needs nothing that draws.
if snakemake.rule == "paper_table":
    from morphpipe.report.papers.tables import make_table

    make_table(name, run, output.item, output.table)
else:
    from morphpipe.report.papers.figures import make_figure

    make_figure(name, run, output.item, output.png, output.pdf)
