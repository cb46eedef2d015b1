// Package check tests the recipes of the directory deploy, as far as that goes without a cluster and without the internet. It is
// a module of its own, because it needs the types of Kubernetes.
package check
