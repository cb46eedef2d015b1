module github.com/godwit-rtc/godwit/ci/law

go 1.26.0

require (
	github.com/OpenPeeDeeP/depguard/v2 v2.2.1
	go.yaml.in/yaml/v3 v3.0.5
	golang.org/x/tools v0.52.0
)

require (
	github.com/gobwas/glob v0.2.3 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
)
