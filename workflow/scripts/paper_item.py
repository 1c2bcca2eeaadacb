from morphpipe.console import log_to
from morphpipe.papers.run import PaperRun
from morphpipe.papers.stage import make_figure, make_table

log_to(snakemake.log[0])
run = PaperRun.from_plain(snakemake.params.run)
name, output = snakemake.wildcards.item, snakemake.output
if snakemake.rule == "paper_table":
    make_table(name, run, output.item, output.table)
else:
    make_figure(name, run, output.item, output.png, output.pdf)
