package game

import "time"

// Examples returns one of each message, as large as they are in a game.
func Examples() (*Input, *Snapshot, *Line, *Inventory, *Join) {
	s := &Snapshot{Tick: 81_234, Ack: 81_229}
	for i := range 20 {
		f := float32(i)
		s.Entities = append(s.Entities, Entity{
			ID: uint16(7 * i), Kind: Kind(i % 4), X: f*41.25 - 400, Y: 300 - f*17.5, Z: f * 2.25,
			VX: f/2 - 5, VY: 5 - f/4, Yaw: f * 14.0625, Health: uint8(100 - 3*i), Firing: i%3 == 0,
		})
	}
	v := &Inventory{Gold: 12_450, Weight: 123.4, Capacity: 200}
	for i := range 12 {
		v.Items = append(v.Items, Item{
			ID: uint16(100 + 37*i), Count: uint16(1 + i*i), Slot: uint8(i), Quality: Quality(i % 4), Wear: float32(i) / 12, Equipped: i < 4,
		})
	}
	return &Input{Tick: 81_234, Forward: 1, Strafe: -1, Fire: true, Weapon: 3, Yaw: 123.4, Pitch: -12.3}, s,
		&Line{From: 17, At: time.UnixMilli(1_790_000_000_123).UTC(), Text: "flag carrier is low, going left side, cover me"}, v,
		&Join{Name: "Ada Lovelace", Team: TeamRed, Colour: 0x3366cc, Version: 12}
}
