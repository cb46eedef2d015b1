package check

import (
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// The file is one of Compose, its variables are those of the program, and only the game is reached over UDP.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"}, cli.WithName("check"),
		cli.WithEnv([]string{"DOMAIN=game.example", "PUBLIC=203.0.113.7:7777"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	game := project.Services["game"]
	for name := range game.Environment {
		wantVariable(t, "compose.yaml", name)
	}
	if len(game.Ports) != 1 || game.Ports[0].Protocol != "udp" || game.Ports[0].Published != "7777" || game.Ports[0].Target != 7777 {
		t.Errorf("the ports of the game are %+v", game.Ports)
	}
	if public := game.Environment["GODWIT_PUBLIC"]; public == nil || *public != "203.0.113.7:7777" {
		t.Error("the game does not get its address")
	}
	caddy := project.Services["caddy"]
	if a, b := game.NetworksByPriority(), caddy.NetworksByPriority(); len(a) != 1 || len(b) != 1 || a[0] != b[0] {
		t.Error("the game and Caddy are not in one network")
	}
}
