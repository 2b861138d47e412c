#!/bin/sh
# Run the two-species study and the penguins fit, then say where their reports are.
#
# The toolkit exits with 1 when a claim is refuted or a fit failed: a result, reported as such, and
# no reason to stop. 2 and above, or a report that is not there, make this script fail.
set -eu
results=${1:-results}
study=$results/two_species
penguins=$results/penguins

# So that a report found at the end was written by this run.
rm -f "$study/report.html" "$penguins/report.html"

worst=0
step() {
    code=0
    "$@" || code=$?
    # Interrupted: stop here rather than start the next step.
    [ "$code" -lt 130 ] || exit "$code"
    [ "$code" -le "$worst" ] || worst=$code
}

echo '== The study: two species at three separations'
step mixtures run studies/two_species.toml --out "$study"
study_code=$code

echo
echo '== The penguins: body masses of three species, two components'
step mixtures fit studies/data/penguins.csv --column body_mass_g --components 2 --engine both \
    --labels species --groups Adelie+Chinstrap,Gentoo --out "$penguins" --seed 1
penguins_code=$code

say() { # name, exit code, report, what exit code 1 means
    case $2 in
        0) outcome='done' ;;
        1) outcome=$4 ;;
        *) outcome="failed with exit code $2" ;;
    esac
    if [ -f "$3" ]; then
        printf '%s: %s. Report: %s\n' "$1" "$outcome" "$3"
    else
        printf '%s: %s. No report was written at %s\n' "$1" "$outcome" "$3"
        [ "$worst" -ge 2 ] || worst=2
    fi
}

echo
echo '== Outcome'
say 'Study' "$study_code" "$study/report.html" 'done; a claim was refuted or a fit failed (see the report)'
say 'Penguins' "$penguins_code" "$penguins/report.html" 'done; a fit failed (see the report)'

[ "$worst" -lt 2 ] || exit "$worst"
