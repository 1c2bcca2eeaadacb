# What a real run seldom shows: jobs that fail once, and jobs that always fail.
def growing(value):
    return lambda wildcards, attempt: value * attempt


localrules:
    all,


rule all:
    input:
        "flaky.txt",
        "after-broken.txt",
        "fine.txt",
        "hungry.txt",
        "late.txt",
        expand("small/{number}.txt", number=range(3)),


# Too little memory and time at the first attempt, as it were.
rule flaky:
    output:
        "flaky.txt",
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    shell:
        "echo {resources.mem_mb} {resources.runtime} >> attempts.txt;"
        " test $(wc -l < attempts.txt) = 2 && touch {output}"


# Takes 600 MB, and is killed for it at the first attempt.
rule hungry:
    output:
        "hungry.txt",
    resources:
        mem_mb=growing(500),
    shell:
        "python3 -c \"import time; held = b'x' * (600 << 20); time.sleep(6)\" && touch {output}"


# Seen only seconds after the job has ended, as on a file system that nodes share.
rule late:
    output:
        "late.txt",
    shell:
        "setsid --fork sh -c 'sleep 3; touch {output}' > /dev/null 2>&1 < /dev/null"


rule broken:
    output:
        "broken.txt",
    log:
        "logs/broken.log",
    shell:
        "echo 'no such plate' > {log}; exit 1"


rule after_broken:
    input:
        "broken.txt",
    output:
        "after-broken.txt",
    shell:
        "touch {output}"


rule fine:
    output:
        "fine.txt",
    shell:
        "touch {output}"


# Handed in as one job, which is to have one GPU.
rule small:
    output:
        "small/{number}.txt",
    group:
        "small"
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
        gpu=1,
    shell:
        "echo $SLURM_JOB_ID $CUDA_VISIBLE_DEVICES > {output}"
