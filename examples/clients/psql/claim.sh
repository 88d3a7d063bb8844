#!/bin/sh
# Claim a campaign and print `campaign_id source`; 75 when nothing is ready, so that whoever calls tries again later.
#
#   DATABASE_URL=postgresql://… POOL=game/chiwar CLAIMANT=<user id> KEY=<request id> ./claim.sh
#
# The process list shows a password that stands in the URL: keep it in ~/.pgpass or PGPASSWORD.
set -eu

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# VERBOSITY=verbose makes psql say the SQLSTATE: "ERROR:  CP002: no campaign of pool ...".
if psql --no-psqlrc --quiet --tuples-only --no-align --field-separator=' ' \
    -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -v pool="$POOL" -v claimant="$CLAIMANT" -v key="$KEY" \
    -f "$(dirname "$0")/claim.sql" "$DATABASE_URL" 2>"$errors"; then
    exit 0
fi

cat "$errors" >&2
if grep -q 'ERROR:  CP002:' "$errors"; then
    exit 75
fi
exit 1
