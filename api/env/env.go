// Package env defines environment variables as entries, so that an app lists what it takes from outside.
package env

import "github.com/wippy-cdc/runtime/api/registry"

// KindVariable is the kind of an environment variable.
const KindVariable registry.Kind = "env.variable"

// VariableConfig configures an env.variable entry.
type VariableConfig struct {
	// Variable is the name in the process environment.
	Variable string `yaml:"variable"`
	// Default is the value if the variable is not set. Without it, an unset variable that is used is a problem.
	Default *string `yaml:"default" secret:"true"`
}

// SetDefaults implements registry.Config.
func (c *VariableConfig) SetDefaults() {}

// Validate implements registry.Config.
func (c *VariableConfig) Validate() error {
	var p registry.Problems
	if c.Variable == "" {
		p.Addf("variable", "is required: name the environment variable")
	}
	return p.Err()
}
