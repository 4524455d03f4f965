#!/bin/sh
# Writes the sections of the transcripts as inputs into the corpora; git does not see them.
cd "$(dirname "$0")" || exit 1
mkdir -p corpus/commands corpus/parse
for file in ../tests/transcripts/*.txt; do
    awk -v out="corpus/commands/seed-$(basename "$file" .txt)" '
        /^## / { if (to) close(to); to = out "-" ++n }
        /^@resp3/ { print "HELLO 3" > to }
        /^> / { print substr($0, 3) > to }
        /^@send / { print substr($0, 7) > to }
    ' "$file"
done
# To the parser the first three bytes are its limits and where the input is cut.
for file in corpus/commands/seed-*; do
    name=corpus/parse/${file##*/}
    { printf '\001\007\003'; head -c 400 "$file"; } > "$name-inline"
    awk 'BEGIN { printf "\001\005\002" }
         { printf "*%d\r\n", NF; for (i = 1; i <= NF; i++) printf "$%d\r\n%s\r\n", length($i), $i }' "$file" |
        head -c 400 > "$name-resp"
done
