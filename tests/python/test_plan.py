"""Placement."""
import json
import unittest

import support
from pluralis import Context, Device, Model, Path, Plan, errors


class Placement(unittest.TestCase):
    def setUp(self):
        self.context = Context()
        self.model = Model(self.context, support.manifest())

    def test_plan(self):
        devices = [Device(1e9 * (1 + i % 3), 1 << 30, 50_000_000, 100_000_000, 5_000_000) for i in range(6)]
        with Plan(self.context, self.model, devices, min_stages=2, max_replicas=3) as plan:
            self.assertGreaterEqual(plan.info.tokens_per_s, plan.info.even_tokens_per_s)
            blocks, used = 0, 0
            for index in range(plan.info.stages):
                stage = plan.stage(index)
                self.assertEqual(stage.first_block, blocks)
                blocks = stage.end_block
                self.assertEqual(len(plan.stage_devices(index)), stage.devices)
                self.assertTrue(all(plan.device_stage(d) == index for d in plan.stage_devices(index)))
                used += stage.devices
            self.assertEqual((blocks, used), (self.model.info.blocks, plan.info.devices))
            self.assertIn("sets the pace", plan.text)
            self.assertEqual([s["devices"] for s in plan.json["stages"]],
                             [list(plan.stage_devices(i)) for i in range(plan.info.stages)])
            self.assertEqual(plan.json, json.loads(json.dumps(plan.json)))
            self.assertIsNone(plan.device_stage(99))
            with self.assertRaises(errors.InvalidArgument):
                plan.stage(plan.info.stages)

    def test_paths_and_flow(self):
        devices = [Device(1e9, 1 << 30)] * 2
        free = Plan(self.context, self.model, devices, min_stages=2, flow="sync")
        narrow = Plan(self.context, self.model, devices, min_stages=2, flow="sync",
                      paths=[Path(0, 1, 1000, 1_000_000), Path(1, 0, 1000, 1_000_000)])
        self.assertLess(narrow.info.tokens_per_s, free.info.tokens_per_s / 10)

    def test_refusals(self):
        with self.assertRaises(errors.PluralisError) as caught:
            Plan(self.context, self.model, [Device(1e9, 1000)])
        self.assertIn("bytes on one device", str(caught.exception))
        with self.assertRaises(errors.InvalidArgument):
            Plan(self.context, self.model, [])
        with self.assertRaises(ValueError):
            Plan(self.context, self.model, [Device(1e9, 1 << 30)], flow="none")
        with self.assertRaises(errors.InvalidArgument):
            Plan(self.context, self.model, [Device(1e9, -1)])


if __name__ == "__main__":
    unittest.main()
