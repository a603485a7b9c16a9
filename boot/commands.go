package boot

import (
	"cmp"
	"slices"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/suggest"
	"github.com/wippy-cdc/runtime/service/registry"
)

// Command is a process that can be run by name: meta.command of a process.lua entry.
type Command struct {
	// ID is the process.
	ID api.ID
	// Name is what the user types, Short one line about it.
	Name, Short string
	// UseCase is UseCaseTest for commands that test the app, else "".
	UseCase string
}

// UseCaseTest marks the commands that test the app.
const UseCaseTest = "test"

// commandOf reads meta.command; nil if there is none.
func commandOf(entry *api.Entry) (*Command, error) {
	const field = "meta.command"
	meta, ok := entry.Meta["command"]
	if !ok {
		return nil, nil //nolint:nilnil // most processes are no commands
	}
	table, ok := meta.(map[string]any)
	if !ok {
		return nil, &api.FieldError{Field: field, Problem: "expected a mapping with name, short and use_case"}
	}
	var p api.Problems
	c := &Command{ID: entry.ID}
	for key, value := range table {
		target := map[string]*string{"name": &c.Name, "short": &c.Short, "use_case": &c.UseCase}[key]
		if target == nil {
			p.Addf(field+"."+key, "unknown field of meta.command%s", suggest.Among(key, []string{"name", "short", "use_case"}))
			continue
		}
		if *target, ok = value.(string); !ok {
			p.Addf(field+"."+key, "expected text")
		}
	}
	if name, given := table["name"]; !given {
		p.Addf(field, "name is required: it is what the user types")
	} else if _, isText := name.(string); isText && (!api.IsName(c.Name) || c.Name[0] == '-') {
		p.Addf(field+".name", "%q is not the name of a command", c.Name)
	}
	if c.UseCase != "" && c.UseCase != UseCaseTest {
		p.Addf(field+".use_case", "%q is not known: use %s, or leave it out", c.UseCase, UseCaseTest)
	}
	return c, p.Err()
}

// commandsOf lists the commands of an app; two of the same name are a problem.
func commandsOf(state *registry.State) ([]Command, error) {
	var commands []Command
	var problems Problems
	for entry := range state.Entries() {
		if !hasScript(entry) {
			continue
		}
		c, err := commandOf(entry)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		if i := slices.IndexFunc(commands, func(other Command) bool { return other.Name == c.Name }); i >= 0 {
			problems.List = append(problems.List, registry.Problem{
				Position: entry.Position, ID: entry.ID, Field: "meta.command.name",
				Text: "there is another command " + c.Name + ": " + commands[i].ID.String(),
			})
			continue
		}
		commands = append(commands, *c)
	}
	if len(problems.List) > 0 {
		return nil, errs.Wrap(errs.Invalid, &problems)
	}
	slices.SortFunc(commands, func(a, b Command) int { return cmp.Compare(a.Name, b.Name) })
	return commands, nil
}
