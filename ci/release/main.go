// Release is the dry run of a release, and sets the version. See docs/releasing.md.
//
//	go run ./ci/release              tries what users of the release will do
//	go run ./ci/release -set v0.2.0  writes the version into all files that have it
//	go run ./ci/release -unreplace   removes the lines replace from the modules that are released
//	go run ./ci/release -version     prints the version, after a comparison of all files that have it
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	version := flag.String("set", "", "write the `version` into all files that have it")
	show := flag.Bool("version", false, "print the version")
	local := flag.Bool("unreplace", false, "remove the lines replace from the modules that are released")
	flag.Parse()
	var err error
	switch {
	case *version != "":
		err = set(".", *version)
	case *local:
		err = unreplace(".")
	case *show:
		var v string
		if v, err = agree("."); err == nil {
			fmt.Println(v)
		}
	default:
		err = rehearse()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}
