# Prints the coverage of each package from a Go cover profile, and the total; fails below `floor` per cent.
# A block that several test binaries ran through stands in the profile once for each of them, and counts once.
# Packages that exist for tests only do not count.

/^mode:/ || /\/server\/(e2e|internal|[a-z]+\/[a-z]+test)\// { next }

{
  statements[$1] = $2
  if ($3 > 0) covered[$1] = 1
}

END {
  for (block in statements) {
    package = block
    sub(/\/[^\/]*$/, "", package)
    sub(/^.*\/server\//, "server/", package)
    all[package] += statements[block]
    sum += statements[block]
    if (block in covered) {
      hit[package] += statements[block]
      sumhit += statements[block]
    }
  }
  for (package in all) {
    printf "%6.1f %%  %s\n", 100 * hit[package] / all[package], package | "sort -k3"
  }
  close("sort -k3")
  if (!sum) {
    print "coverage: the profile is empty"
    exit 1
  }
  total = 100 * sumhit / sum
  printf "coverage: %.1f %% of %d statements of hand-written server code; at least %s %% wanted\n", total, sum, floor
  exit total < floor
}
