"""Small nets that learn in seconds, from the perceptron to GANs."""

from .autoencoder import (
    Autoencoder,
    DenoisingAutoencoder,
    VAEOutput,
    VariationalAutoencoder,
)
from .boltzmann import RestrictedBoltzmannMachine
from .deep_q import DeepQ
from .environments import CartPole, Environment, GridWorld
from .gan import GAN
from .hopfield import HopfieldNet
from .perceptron import MultilayerPerceptron, Perceptron
from .recurrent_nets import ElmanNet, JordanNet, LSTMNet
from .reservoir import EchoStateNetwork, LiquidStateMachine, Reservoir
from .som import SelfOrganizingMap

__all__ = [
    "Autoencoder",
    "CartPole",
    "DeepQ",
    "DenoisingAutoencoder",
    "EchoStateNetwork",
    "ElmanNet",
    "Environment",
    "GAN",
    "GridWorld",
    "HopfieldNet",
    "JordanNet",
    "LSTMNet",
    "LiquidStateMachine",
    "MultilayerPerceptron",
    "Perceptron",
    "Reservoir",
    "RestrictedBoltzmannMachine",
    "SelfOrganizingMap",
    "VAEOutput",
    "VariationalAutoencoder",
]
