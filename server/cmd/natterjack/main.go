// Natterjack is a chat backend: `natterjack serve` is the server, the other commands are its tools.
package main

import (
	"fmt"
	"os"
)

const usage = `Natterjack, a chat backend.

Usage: natterjack <command> [flags]

  serve     the server
  chat      a terminal client
  load      puts a running server under load, and measures
  migrate   brings the tables of a database up to date, or back
  admin     what operators do by hand

natterjack <command> --help tells more.
`

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run carries out a command and returns the exit code.
func run(args []string, stdin, stdout, stderr *os.File) int {
	command, rest := "", []string(nil)
	if len(args) > 0 {
		command, rest = args[0], args[1:]
	}
	switch command {
	case "serve":
		return runServe(rest, stdout, stderr)
	case "chat":
		return runChat(rest, stdin, stdout, stderr)
	case "load":
		return runLoad(rest, stdout, stderr)
	case "migrate":
		return runMigrate(rest, stdout, stderr)
	case "admin":
		return runAdmin(rest, stdout, stderr)
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	case "":
		fmt.Fprint(stderr, usage)
	default:
		fmt.Fprintf(stderr, "natterjack: there is no command %q (natterjack help lists them)\n", command)
	}
	return exitUsage
}
