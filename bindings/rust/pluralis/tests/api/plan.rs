use pluralis::plan::{Device, Flow, Plan, PlanOptions, PlanPath};
use pluralis::*;

use crate::support::*;

fn fleet(count: usize) -> Vec<Device> {
    (0..count)
        .map(|i| Device {
            flops: 1e9 * (1 + i % 3) as f64,
            memory: 1 << 30,
            up_bps: 50_000_000,
            down_bps: 100_000_000,
            delay_ns: 5_000_000,
        })
        .collect()
}

#[test]
fn a_plan_covers_the_model() {
    let context = context();
    let model = model(&context);
    let options = PlanOptions::new().min_stages(2).max_replicas(3);
    let plan = Plan::new(&context, &model, &fleet(6), &[], &options).unwrap();
    let info = plan.info().unwrap();
    assert!(info.tokens_per_s >= info.even_tokens_per_s && info.tokens_per_s > 0.0);
    let (mut block, mut used) = (0, 0);
    for index in 0..info.stages {
        let stage = plan.stage(index).unwrap();
        assert_eq!(stage.first_block, block);
        block = stage.end_block;
        let devices = plan.stage_devices(index);
        assert_eq!(devices.len(), stage.devices as usize);
        assert!(devices.iter().all(|&d| plan.device_stage(d) == Some(index)));
        used += stage.devices;
    }
    assert_eq!((block, used), (model.info().blocks, info.devices));
    assert_eq!(plan.device_stage(99), None);
    assert_eq!(plan.stage(info.stages).unwrap_err().status, Status::INVALID_ARGUMENT);
    assert!(plan.text().contains("sets the pace"));
    assert!(plan.json().starts_with("{\"tokens_per_s\": "));
    let again = Plan::new(&context, &model, &fleet(6), &[], &options.clone()).unwrap();
    assert_eq!(again.text(), plan.clone().text());
}

#[test]
fn narrow_paths_count() {
    let context = context();
    let model = model(&context);
    let options = PlanOptions::new().min_stages(2).flow(Flow::SYNC);
    let paths = [(0, 1), (1, 0)].map(|(from, to)| PlanPath { from, to, bps: 1000, delay_ns: 1_000_000 });
    let free = Plan::new(&context, &model, &fleet(2), &[], &options).unwrap().info().unwrap();
    let narrow = Plan::new(&context, &model, &fleet(2), &paths, &options).unwrap().info().unwrap();
    assert!(narrow.tokens_per_s < free.tokens_per_s / 2.0);
}

#[test]
fn what_is_short_is_said() {
    let context = context();
    let model = model(&context);
    let small = [Device { flops: 1e9, memory: 1000, ..Device::default() }];
    let error = Plan::new(&context, &model, &small, &[], &PlanOptions::default()).err().unwrap();
    assert_eq!(error.status, Status::NOT_FOUND);
    assert!(error.message.contains("bytes on one device"), "{error}");
    let error = Plan::new(&context, &model, &[], &[], &PlanOptions::new()).err().unwrap();
    assert_eq!(error.status, Status::INVALID_ARGUMENT);
    let wrong = PlanOptions::new()
        .min_bits(9.0)
        .max_bits(8.0)
        .seed(1)
        .restarts(2)
        .versions(2)
        .max_stages(1)
        .free_cuts(1);
    let error = Plan::new(&context, &model, &fleet(1), &[], &wrong).err().unwrap();
    assert_eq!(error.where_, "options.min_bits");
}
