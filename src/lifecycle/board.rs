//! The board: every worker by name, and whether it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody has asked to stop.
    #[default]
    Running,
    /// Stages are stopping one after another.
    Stopping,
    /// Every stage has been asked, and has ended or been given up.
    Stopped,
}

/// One worker's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "why")]
pub enum TaskState {
    /// It works.
    Running,
    /// It ended as asked.
    Stopped,
    /// It ended otherwise, with the reason.
    Failed(String),
}

/// One line of the board.
#[derive(Clone, Debug, Serialize)]
pub struct TaskStatus {
    /// The stage it stops with.
    pub stage: &'static str,
    /// Its name.
    pub name: String,
    /// How it is.
    #[serde(flatten)]
    pub state: TaskState,
}

/// A shared view of all workers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    phase: Phase,
    tasks: Vec<TaskStatus>,
}

impl Board {
    /// Where the process is in its life.
    pub fn phase(&self) -> Phase {
        self.lines().phase
    }

    /// All workers in the order in which they started.
    pub fn tasks(&self) -> Vec<TaskStatus> {
        self.lines().tasks.clone()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.lines().phase = phase;
    }

    pub(super) fn put_up(&self, stage: &'static str, name: String) -> usize {
        let mut lines = self.lines();
        lines.tasks.push(TaskStatus {
            stage,
            name,
            state: TaskState::Running,
        });
        lines.tasks.len() - 1
    }

    /// Notes how a worker ended and gives its name back.
    pub(super) fn take_down(&self, place: usize, why: Option<String>) -> String {
        let mut lines = self.lines();
        let task = &mut lines.tasks[place];
        task.state = why.map_or(TaskState::Stopped, TaskState::Failed);
        task.name.clone()
    }

    pub(super) fn running(&self) -> Vec<String> {
        let lines = self.lines();
        let running = lines.tasks.iter().filter(|task| task.state == TaskState::Running);
        running.map(|task| task.name.clone()).collect()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // A line is written in one step, so a panicking writer leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
