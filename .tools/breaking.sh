#!/usr/bin/env bash
# Compares the schema with the one that landed last: a client generated from that one has to go on working.
#
# What landed last is, in this order:
#   - the last commit, while api/ has changes that are not committed;
#   - where this branch left origin/main;
#   - the schema before the last commit that changed it, where origin/main is the branch itself, or there is none.
#
# A commit since then with the trailer `API-Break: why` says that clients are meant to break, and why.
set -euo pipefail

skip() {
  echo "breaking: not checked: $*"
  exit 0
}

head=$(git rev-parse HEAD)
main=$(git merge-base HEAD origin/main 2>/dev/null || true)
if [ -n "$(git status --porcelain -- api)" ]; then
  landed=$head
elif [ -n "$main" ] && [ "$main" != "$head" ]; then
  landed=$main
else
  changed=$(git rev-list -1 HEAD -- api)
  landed=$(git rev-parse --quiet --verify "$changed^" || true)
fi
if [ -z "$landed" ] || ! git cat-file -e "$landed:api" 2>/dev/null; then
  skip "no earlier commit has a schema"
fi
why=$(git log --format='%(trailers:key=API-Break,valueonly,separator=%x2C )' "$landed..HEAD" | sed '/^$/d')
[ -z "$why" ] || skip "a commit since ${landed:0:12} breaks clients on purpose: $why"

# A workspace like this one, with the schema as it was.
old=.cache/breaking
rm -rf "$old"
mkdir -p "$old/.cache"
git archive "$landed" api | tar -x -C "$old"
cp -R .cache/protovalidate "$old/.cache/"
cp buf.yaml "$old/"
go tool buf breaking --against "$old"
echo "breaking: compatible with the schema of ${landed:0:12}"
