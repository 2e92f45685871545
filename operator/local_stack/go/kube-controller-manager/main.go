// Command kube-controller-manager deletes what a deleted namespace or owner leaves behind; the stack turns its other controllers off.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	os.Exit(cli.Run(app.NewControllerManagerCommand()))
}
