// Command kstatus says how GitOps tools read objects. On stdin it takes JSON documents, each with an `object` and, where
// there are any, a Flux Kustomization's healthCheckExprs of its kind as `expressions`. For each it prints a line with the
// status that kstatus computes or, with expressions, the one that Flux does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type question struct {
	Object      *unstructured.Unstructured        `json:"object"`
	Expressions *kustomize.HealthCheckExpressions `json:"expressions"`
}

func answer(asked question) (string, error) {
	if asked.Expressions == nil {
		result, err := status.Compute(asked.Object)
		if err != nil {
			return "", err
		}
		return result.Status.String(), nil
	}
	evaluator, err := cel.NewStatusEvaluator(asked.Expressions)
	if err != nil {
		return "", err
	}
	result, err := evaluator.Evaluate(context.Background(), asked.Object)
	if err != nil {
		return "", err
	}
	return result.Status.String(), nil
}

func run() error {
	for decoder := json.NewDecoder(os.Stdin); ; {
		var asked question
		if err := decoder.Decode(&asked); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		text, err := answer(asked)
		if err != nil {
			return err
		}
		fmt.Println(text)
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}
